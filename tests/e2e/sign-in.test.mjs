// SPDX-License-Identifier: AGPL-3.0-or-later
// The sign-in page: in, refused, by keyboard alone, busy, unreachable, and without JavaScript.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, target, visitor } from "./browser.mjs";
import { PATIENCE_MS, alert, field, fillSignIn, openSignIn, signIn, signOut, submit, untilAccountShown, untilReady } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/** A name that no other test uses, so that its throttling is nobody else's. */
const stranger = () => `nobody-${Math.random().toString(36).slice(2, 10)}`;

test("the right credential opens the account", async () => {
  const { context, page, seen } = await visitor(browser);
  await signIn(page);
  assert.equal(new URL(page.url()).pathname, "/account");
  assert.deepEqual(seen.errors, []);
  await signOut(page);
  await context.close();
});

test("a wrong password is announced, cleared and asked for again; all else stays", async () => {
  const { context, page } = await visitor(browser);
  const name = stranger();
  await openSignIn(page);
  await fillSignIn(page, { user: name, password: "certainly not this one", device: "Desk 12" });
  await submit(page).click();
  await alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await alert(page).locator(".problem-title").textContent(), "Sign-in was refused");
  assert.ok((await alert(page).locator("p").count()) >= 2, "the appliance's own words are shown");
  assert.equal(await field(page, "Password").inputValue(), "");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "password");
  assert.equal(await field(page, "Workspace").inputValue(), target.workspace);
  assert.equal(await field(page, "User name").inputValue(), name);
  assert.equal(await field(page, "Name of this device").inputValue(), "Desk 12");
  await context.close();
});

test("a throttled name counts down and then may try again", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  await fillSignIn(page, { user: stranger(), password: "wrong" });
  // Each wrong password locks the name for longer, so one of these meets the lock.
  for (let tries = 0; tries < 6; tries += 1) {
    await field(page, "Password").fill("wrong again");
    await submit(page).click();
    await alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
    if ((await submit(page).getAttribute("aria-disabled")) === "true") break;
  }
  assert.match(await submit(page).innerText(), /^Try again in \d+ s$/);
  assert.equal(await alert(page).locator(".problem-title").textContent(), "Too many tries");
  assert.equal(await field(page, "Password").inputValue(), "wrong again", "what was not judged is not cleared");
  await untilReady(page);
  assert.equal(await submit(page).innerText(), "Sign in");
  await context.close();
});

test("what is missing is named, with a link to each field", async () => {
  const { context, page, seen } = await visitor(browser);
  await openSignIn(page);
  await field(page, "User name").fill("ada");
  const before = seen.requests.length;
  await submit(page).click();
  assert.deepEqual(await alert(page).getByRole("link").allTextContents(), [
    "Enter the name of your workspace",
    "Enter your password",
  ]);
  assert.ok(await alert(page).evaluate((node) => node === document.activeElement));
  await alert(page).getByRole("link", { name: "Enter your password" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "password");
  assert.equal(seen.requests.length, before, "nothing is sent");
  await context.close();
});

test("the keyboard alone is enough", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  await untilReady(page);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "workspace", "the first empty field has the focus");
  await page.keyboard.type(target.workspace);
  await page.keyboard.press("Tab");
  await page.keyboard.type(target.user);
  await page.keyboard.press("Tab");
  await page.keyboard.type(target.password);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.equal(await field(page, "Password").getAttribute("type"), "text", "Show is reached and pressed");
  await page.keyboard.press("Space");
  assert.equal(await field(page, "Password").getAttribute("type"), "password");
  // Past staying signed in and what is folded away.
  for (let tabs = 0; tabs < 3; tabs += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await untilAccountShown(page);
  // Past the skip link and the two pages in the bar.
  for (let tabs = 0; tabs < 4; tabs += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === "/", { timeout: PATIENCE_MS });
  await context.close();
});

test("a busy appliance counts down, keeps what was typed, and then lets in", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  await fillSignIn(page);
  await untilReady(page);
  const problem = { code: "busy", title: "Busy", status: 503, detail: "More sign-ins than can be computed.", way_out: "Wait." };
  await page.route(
    "**/api/v1/sessions",
    (route) => route.fulfill({ status: 503, headers: { "Retry-After": "2" }, contentType: "application/problem+json", json: problem }),
    { times: 1 },
  );
  await submit(page).click();
  await alert(page).getByText(problem.detail).waitFor({ timeout: PATIENCE_MS });
  assert.match(await submit(page).innerText(), /^Try again in [12] s$/);
  assert.equal(await field(page, "Password").inputValue(), target.password);
  await untilReady(page);
  await submit(page).click();
  await untilAccountShown(page);
  await signOut(page);
  await context.close();
});

test("an appliance that does not answer is said so, nothing typed is lost, and trying again works", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  await fillSignIn(page);
  await untilReady(page);
  await context.setOffline(true);
  await submit(page).click();
  await alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await alert(page).locator(".problem-title").textContent(), "The appliance does not answer");
  assert.equal(await field(page, "Password").inputValue(), target.password);
  await context.setOffline(false);
  await submit(page).click();
  await untilAccountShown(page);
  await signOut(page);
  await context.close();
});

test("a browser that cannot seal is told what it lacks", async () => {
  const { context, page, seen } = await visitor(browser);
  await page.addInitScript(() => {
    const real = SubtleCrypto.prototype.generateKey;
    SubtleCrypto.prototype.generateKey = function (algorithm, ...rest) {
      if (algorithm.name === "X25519") return Promise.reject(new DOMException("no", "NotSupportedError"));
      return real.call(this, algorithm, ...rest);
    };
  });
  await page.goto("/");
  await alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
  assert.match(await alert(page).innerText(), /lacks X25519/);
  assert.equal(await submit(page).getAttribute("aria-disabled"), "true");
  // Who runs this may be read with any browser.
  const asked = seen.requests.map((request) => new URL(request.url()).pathname).filter((path) => path.startsWith("/api/"));
  assert.deepEqual(asked.filter((path) => path !== "/api/v1/operator"), []);
  await context.close();
});

for (const path of ["/", "/account", "/workspace", "/operator"]) {
  test(`without JavaScript ${path} says why and gives the shell commands`, async () => {
    const { context, page } = await visitor(browser, { javaScriptEnabled: false });
    await page.goto(path);
    const shown = await page.locator("noscript").last().innerText();
    assert.match(shown, /sealed on your device/);
    for (const command of [
      "sudo conclave account list --workspace NAME",
      "sudo conclave session list --workspace NAME ACCOUNT",
      "sudo conclave account password --workspace NAME ACCOUNT",
    ]) {
      assert.ok(shown.includes(command), command);
    }
    await context.close();
  });
}

test("Dutch for whoever asks for it", async () => {
  const { context, page } = await visitor(browser, { locale: "nl-NL" });
  await openSignIn(page);
  assert.equal(await page.locator("h1").innerText(), "Aanmelden");
  assert.equal(await page.locator("html").getAttribute("lang"), "nl");
  await context.close();
});
