// SPDX-License-Identifier: AGPL-3.0-or-later
// The claim of a new appliance in a browser, and an operator's recovery. Not among the tests of a claimed appliance:
// `node --test claim.mjs` with an appliance that nobody claimed, whose certificate nobody vouches for, and
//
//   CONCLAVE_CODE          its setup code
//   CONCLAVE_BINARY        the command line, to make a recovery link
//   CONCLAVE_ADMIN_SOCKET  and where it asks for one

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { launch, target, visitor } from "./browser.mjs";
import { SIZES, audit, look } from "./look.mjs";
import { PATIENCE_MS, field, openSignIn, signIn, signOut } from "./steps.mjs";

const code = process.env.CONCLAVE_CODE;
const heading = (page, name) => page.getByRole("heading", { name, level: 2 });
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

let browser;
before(async () => {
  browser = await launch();
  if (target.shots) await mkdir(target.shots, { recursive: true });
});
after(() => browser?.close());

const newcomer = (options) => visitor(browser, { ignoreHTTPSErrors: true, reducedMotion: "reduce", ...options });

async function openSetup(page) {
  await page.goto("/");
  await page.waitForURL((url) => url.pathname === "/setup");
  await field(page, "Setup code").waitFor({ timeout: PATIENCE_MS });
}

/** The heading of a step has the focus, so that whoever does not see it hears it. */
async function arrive(page, name) {
  await heading(page, name).waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), name);
}

async function toRoot(page) {
  await openSetup(page);
  await field(page, "Setup code").fill(code.toLowerCase().replaceAll("-", " "));
  await field(page, "Names").fill("localhost");
  await field(page, "Networks").fill("127.0.0.0/8, ::1/128");
  await press(page, "Continue");
  await arrive(page, "Fingerprint of the root certificate");
}

async function toOperator(page) {
  await page.getByRole("checkbox").check();
  await press(page, "Continue");
  await arrive(page, "The first operator");
}

async function toKit(page) {
  await field(page, "User name").fill(target.user);
  await field(page, "Name that others see").fill("Olga Operator");
  await field(page, "Password").fill(target.password);
  await field(page, "Password again").fill(target.password);
  await press(page, "Continue");
  await arrive(page, "Conclave recovery kit");
  return page.locator(".words li").allInnerTexts();
}

/** Types the words that are asked for, or another one. */
async function prove(page, words, wrong = false) {
  const asked = page.getByLabel(/^Word \d+$/);
  assert.equal(await asked.count(), 3);
  for (const input of await asked.all()) {
    const place = Number((await input.getAttribute("id")).replace("word-", ""));
    await input.fill(wrong ? "conclave" : words[place - 1].toUpperCase());
  }
  await press(page, "Claim the appliance");
}

test("what is missing or wrong is named where it is typed", async () => {
  const { context, page } = await newcomer();
  await openSetup(page);
  await field(page, "Names").fill("");
  await field(page, "Networks").fill("");
  await press(page, "Continue");
  await page.getByRole("link", { name: "Enter the setup code" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "setup-code");
  await field(page, "Setup code").fill("0000-0000-0000-0000");
  await field(page, "Names").fill("not_a_name");
  await press(page, "Continue");
  await page.getByRole("alert").getByText('the name "not_a_name" is refused').waitFor({ timeout: PATIENCE_MS });
  await field(page, "Names").fill("localhost");
  await press(page, "Continue");
  await page.getByText("4 tries are left").first().waitFor({ timeout: PATIENCE_MS });
  assert.equal(await field(page, "Setup code").getAttribute("aria-invalid"), "true");
  await audit(page, "setup, wrong code");
  await context.close();
});

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`the steps fit a ${size} screen in ${colorScheme}`, async () => {
      const { context, page, seen } = await newcomer({ viewport, colorScheme });
      const at = async (state) => {
        await look(page, `setup-${state}-${size}-${colorScheme}`);
        await audit(page, `setup, ${state}, ${size}, ${colorScheme}`);
      };
      await openSetup(page);
      await at("1-scope");
      await toRoot(page);
      await at("2-root");
      await press(page, "Continue");
      await page.getByText("Confirm the fingerprint first").waitFor();
      await toOperator(page);
      await press(page, "Continue");
      await page.getByRole("link", { name: "Enter a password" }).waitFor();
      await at("3-operator");
      await toKit(page);
      await at("4-kit");
      await press(page, "I have it on paper");
      await arrive(page, "Three words from your paper");
      await at("5-proof");
      assert.deepEqual([seen.violations, seen.errors], [[], []]);
      await context.close();
    });
  }
}

test("an appliance is claimed, and the setup page is gone", async () => {
  const { context, page, seen } = await newcomer();
  await toRoot(page);
  const fingerprint = (await page.locator("conclave-setup-root .fingerprint").innerText()).replace(/\s/g, "");
  await toOperator(page);
  const words = await toKit(page);
  assert.equal(words.length, 24);
  assert.equal((await page.locator("conclave-setup-kit .fingerprint").innerText()).replace(/\s/g, ""), fingerprint);
  await page.emulateMedia({ media: "print" });
  await look(page, "setup-kit-printed");
  assert.equal(await page.getByRole("button", { name: "Print" }).isVisible(), false);
  assert.ok(await page.locator(".words").isVisible());
  await page.emulateMedia({ media: "screen" });

  await press(page, "I have it on paper");
  await prove(page, words, true);
  await page.getByRole("link", { name: /^Word \d+ is another word$/ }).first().waitFor();
  await press(page, "Show the kit again");
  assert.deepEqual(await page.locator(".words li").allInnerTexts(), words);
  await press(page, "I have it on paper");
  await prove(page, words);
  await arrive(page, "This appliance is yours");
  await look(page, "setup-done");
  await audit(page, "setup, done");

  // Neither the words nor the password left the page in clear.
  const sent = seen.requests.map((request) => request.postData() ?? "").join("\n");
  assert.ok(sent.includes("recovery_public_key"));
  // Names of fields are words too, and "code" is one of the list.
  const values = sent.replaceAll(/"\w+":/g, "");
  const phrase = words.slice(1).map((word, at) => new RegExp(`\\b${words[at]}[^a-z]+${word}\\b`, "i"));
  assert.ok(!sent.includes(target.password) && !words.some((word) => values.includes(`"${word}"`)));
  assert.ok(!phrase.some((two) => two.test(values)));
  assert.deepEqual([seen.violations, seen.errors], [[], []]);

  assert.equal((await page.goto("/setup")).status(), 404);
  await signIn(page);
  await page.getByText("None were made.").waitFor({ timeout: PATIENCE_MS });
  await signOut(page);
  await context.close();
});

test("an operator sets a new password by a link, once, and the others see it", async () => {
  const { context, page, seen } = await newcomer();
  const link = ["--admin-socket", process.env.CONCLAVE_ADMIN_SOCKET, "--json", "operator", "recover", target.user];
  const { url } = JSON.parse((await promisify(execFile)(process.env.CONCLAVE_BINARY, link)).stdout);
  const fresh = `${target.password}-again`;
  const set = async () => {
    await page.locator("#new-password").fill(fresh);
    await page.locator("#repeat-password").fill(fresh);
    await press(page, "Set password");
  };
  await page.goto(url);
  await page.locator("conclave-recover form").waitFor();
  assert.ok(!page.url().includes("#"), "the token is out of the address");
  await audit(page, "recover");
  await look(page, "recover");
  await set();
  await page.getByRole("heading", { name: `The password of “${target.user}” is set.` }).waitFor({ timeout: PATIENCE_MS });

  await page.goto("about:blank");
  await page.goto(url);
  await page.locator("conclave-recover form").waitFor();
  await set();
  await page.getByText("This link does not hold", { exact: true }).waitFor({ timeout: PATIENCE_MS });
  await audit(page, "recover, refused");
  await page.goto("/recover");
  await page.getByText("There is no link here").waitFor();

  await openSignIn(page);
  await signIn(page, { password: fresh });
  await page.locator("conclave-notice-list").getByText(`For ${target.user}, made`).waitFor({ timeout: PATIENCE_MS });
  await look(page, "operator-account");
  await audit(page, "an operator's account");
  assert.deepEqual([seen.violations, seen.errors], [[], []]);
  await context.close();
});
