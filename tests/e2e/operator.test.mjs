// SPDX-License-Identifier: AGPL-3.0-or-later
// Who runs this: everybody reads it, operators write it, and every page has the way there at its foot.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, people, visitor } from "./browser.mjs";
import { PATIENCE_MS, field, openSignIn, signIn, signInAt, signOut } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const foot = (page) => page.locator("footer conclave-operator-link a");
const form = (page) => page.locator("conclave-operator-form");
const voice = (page) => page.locator("conclave-appliance-voice");

async function openOperator(page) {
  await signInAt(page, people.operator, "/operator");
  await form(page).waitFor({ timeout: PATIENCE_MS });
}

test("somebody who is not signed in reads who runs this, also where nothing was said yet", async () => {
  const { context, page, seen } = await visitor(browser);
  await page.goto("/operator");
  const facts = page.locator("conclave-operator-facts");
  await facts.waitFor({ timeout: PATIENCE_MS });
  assert.match(await facts.innerText(), /not said yet who they are.*Not said yet.*Autoriteit Persoonsgegevens/s);
  const authority = facts.getByRole("link");
  assert.match(await authority.getAttribute("href"), /^https:\/\//);
  assert.match(await authority.getAttribute("rel"), /noreferrer/);
  assert.equal(await form(page).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Sign out" }).count(), 0);
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.pathname === "/");
  assert.deepEqual([seen.violations, seen.errors], [[], []]);
  await context.close();
});

test("an operator says who runs this, and every page follows", async () => {
  const { context, page, seen } = await visitor(browser);
  await signIn(page, people.operator);
  assert.equal(await page.locator("conclave-room-list").count(), 0, "operators have no rooms");
  await page.getByRole("navigation").getByRole("link", { name: "Appliance" }).click();
  await form(page).waitFor({ timeout: PATIENCE_MS });
  assert.equal(await form(page).locator("select option").count(), 30);
  await field(page, "Operator").fill("  Acme Care & Sons B.V. ");
  await field(page, "Postal address").fill("Stationsplein 1, 3511 ED Utrecht");
  await field(page, "Contact").fill("+31 30 123 45 67");
  await field(page, "Privacy contact").fill("<i>Pia</i>, privacy@acme.example");
  await field(page, "Supervisory authority").selectOption("DE");
  await field(page, "Where the data is").fill("Server room, Utrecht");
  await page.keyboard.press("Enter");
  await form(page).getByText("Saved. Everybody sees it now.").waitFor({ timeout: PATIENCE_MS });
  await foot(page).getByText("Run by Acme Care & Sons B.V.").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await field(page, "Operator").inputValue(), "Acme Care & Sons B.V.");

  // Only what changes is sent.
  await field(page, "Where the data is").fill("Server room, Utrecht, the Netherlands");
  await form(page).getByRole("button", { name: "Save changes" }).click();
  await form(page).getByText("Saved. Everybody sees it now.").waitFor({ timeout: PATIENCE_MS });
  const patches = seen.requests.filter((request) => request.method() === "PATCH").map((request) => JSON.parse(request.postData()));
  assert.deepEqual(Object.keys(patches[0]).sort(), ["operator", "residency", "supervisory_authority"]);
  assert.deepEqual(patches[1], { residency: "Server room, Utrecht, the Netherlands" });
  await signOut(page);

  await openSignIn(page);
  await foot(page).getByText("Run by Acme Care & Sons B.V.").waitFor({ timeout: PATIENCE_MS });
  await foot(page).click();
  const facts = page.locator("conclave-operator-facts");
  await facts.waitFor({ timeout: PATIENCE_MS });
  for (const part of ["Acme Care & Sons B.V.", "Stationsplein 1, 3511 ED Utrecht", "<i>Pia</i>, privacy@acme.example", "Server room, Utrecht, the Netherlands"]) {
    assert.ok((await facts.innerText()).includes(part), part);
  }
  assert.match(await facts.getByRole("link").getAttribute("href"), /bfdi/);
  assert.deepEqual([seen.violations, seen.errors], [[], []]);
  await context.close();
});

test("somebody of a workspace reads it and cannot change it", async () => {
  const { context, page } = await visitor(browser);
  await signInAt(page, people.grace, "/operator");
  await page.locator("conclave-operator-facts").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await form(page).count(), 0);
  await page.getByRole("navigation").getByRole("link", { name: "My account" }).waitFor();
  await signOut(page);
  await context.close();
});

test("what the appliance refuses is said, and what was typed stays", async () => {
  const { context, page } = await visitor(browser);
  await openOperator(page);
  await field(page, "Postal address").fill("one\u202Eline");
  await form(page).getByRole("button", { name: "Save changes" }).click();
  await form(page).locator("[role=alert]").getByText("This was not accepted").waitFor({ timeout: PATIENCE_MS });
  assert.match(await form(page).locator("[role=alert]").innerText(), /U\+202E/);
  assert.equal(await field(page, "Postal address").inputValue(), "one\u202Eline");
  await signOut(page);
  await context.close();
});

test("voice is turned off for all after asking, admins see it, and it is turned on again", async () => {
  const { context, page } = await visitor(browser);
  await openOperator(page);
  await voice(page).getByRole("button", { name: "Turn voice off" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Leave it");
  await voice(page).getByRole("button", { name: "Turn it off" }).click();
  await voice(page).getByText("Voice is off for the whole appliance.").waitFor({ timeout: PATIENCE_MS });

  const admin = await visitor(browser);
  await signInAt(admin.page, people.grace, "/workspace");
  await admin.page.locator("conclave-policy-form").getByText("Voice is off for the whole appliance now.").waitFor({ timeout: PATIENCE_MS });

  await voice(page).getByRole("button", { name: "Turn voice on" }).click();
  await voice(page).getByRole("button", { name: "Turn it on" }).click();
  await voice(page).getByText("Voice is on for the whole appliance").waitFor({ timeout: PATIENCE_MS });
  await admin.page.reload();
  await admin.page.locator("conclave-policy-form").getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
  assert.equal(await admin.page.getByText("Voice is off for the whole appliance now.").count(), 0);
  await signOut(admin.page);
  await admin.context.close();
  await signOut(page);
  await context.close();
});

test("an appliance that does not answer is said so, and trying again works", async () => {
  const { context, page } = await visitor(browser);
  let down = true;
  await page.route("**/api/v1/operator", (route) => (down ? route.abort() : route.continue()));
  await page.goto("/operator");
  await page.locator("conclave-operator").getByText("The appliance does not answer").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await foot(page).innerText(), "Who runs this");
  down = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("conclave-operator-facts").waitFor({ timeout: PATIENCE_MS });
  await context.close();
});

test("with a pin that differs no name is shown, and the pin goes along to the other page", async () => {
  const { context, page } = await visitor(browser);
  const pin = "A".repeat(43);
  await page.goto(`/#pin=${pin}`);
  await page.locator("conclave-sign-in [role=alert] .problem-title").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await foot(page).innerText(), "Who runs this");
  await foot(page).click();
  await page.waitForURL((url) => url.pathname === "/operator" && url.hash.includes(pin));
  await page.getByText("This is not the appliance that was expected").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.locator("conclave-operator-facts").count(), 0);
  await context.close();
});
