// SPDX-License-Identifier: AGPL-3.0-or-later
// The page of the workspace: its policy, and what takes two persons.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, people, visitor } from "./browser.mjs";
import { PATIENCE_MS, alert, field, fillSignIn, openSignIn, signIn, signInAt, signOut, submit } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const form = (page) => page.locator("conclave-policy-form");
const said = (page) => form(page).locator("[role=status]");
const save = (page) => form(page).getByRole("button", { name: "Save changes" });

async function openPolicy(page) {
  await signInAt(page, people.grace, "/workspace");
  await form(page).getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
}

test("who may change the policy finds it by the bar, the others do not and are told", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page, people.grace);
  await page.getByRole("navigation").getByRole("link", { name: "Workspace" }).click();
  await form(page).getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.getByRole("link", { name: "Workspace" }).getAttribute("aria-current"), "page");
  await signOut(page);

  await signIn(page, people.bob);
  assert.equal(await page.getByRole("navigation").count(), 0);
  await page.goto("/workspace");
  await page.getByText("This page is not for your account").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await form(page).count(), 0);
  await signOut(page);
  await context.close();
});

test("it says who accepted the agreement, and which text", async () => {
  const { context, page } = await visitor(browser);
  await signInAt(page, people.grace, "/workspace");
  const record = page.locator("conclave-agreement-record");
  await record.getByText("Tess Ter").waitFor({ timeout: PATIENCE_MS });
  assert.match(await record.locator("code").last().innerText(), /^[0-9a-f]{64}$/);
  await signOut(page);
  await context.close();
});

test("before the agreement is accepted the page leads to it", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page, people.wanda);
  await page.goto("/workspace");
  await page.waitForURL((url) => url.pathname === "/account", { timeout: PATIENCE_MS });
  await page.locator("conclave-agreement").waitFor({ timeout: PATIENCE_MS });
  await signOut(page);
  await context.close();
});

test("what was changed is sent and nothing else, and it is in force", async () => {
  const { context, page, seen } = await visitor(browser);
  await openPolicy(page);
  assert.equal(await field(page, "Guests").isChecked(), true);
  await save(page).click();
  assert.equal(await said(page).innerText(), "Nothing has changed.");

  await field(page, "Guests").focus();
  await page.keyboard.press("Space");
  await field(page, "Sign out when not used for").fill("8");
  assert.equal(await said(page).innerText(), "2 changes are not saved yet.");
  await page.keyboard.press("Enter");
  await said(page).getByText("Saved. It is in force now.").waitFor({ timeout: PATIENCE_MS });
  const patches = seen.requests.filter((request) => request.method() === "PATCH");
  assert.deepEqual(patches.map((request) => JSON.parse(request.postData())), [{ guests: false, idle_hours: 8 }]);

  const guest = await visitor(browser);
  await openSignIn(guest.page);
  await fillSignIn(guest.page, people.gus);
  await submit(guest.page).click();
  await alert(guest.page).getByText("Guests are not let in now").waitFor({ timeout: PATIENCE_MS });
  await guest.context.close();

  await page.reload();
  await form(page).getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
  assert.equal(await field(page, "Guests").isChecked(), false);
  assert.equal(await field(page, "Sign out when not used for").inputValue(), "8");
  await signOut(page);
  assert.deepEqual([seen.violations, seen.errors], [[], []]);
  await context.close();
});

test("a number that is none is named at its field and not sent, and undo puts back what is stored", async () => {
  const { context, page, seen } = await visitor(browser);
  await openPolicy(page);
  const days = field(page, "Sign out in any case after");
  const stored = await days.inputValue();
  for (const wrong of ["0", "91", "", "x", "1."]) {
    await days.fill(wrong);
    await save(page).click();
    await form(page).locator(".field-error").getByText("Enter a whole number from 1 to 90").waitFor();
    assert.equal(await days.getAttribute("aria-invalid"), "true");
  }
  await form(page).getByRole("link", { name: /Sign out in any case after/ }).click();
  assert.equal(await days.evaluate((node) => node === document.activeElement), true);
  assert.deepEqual(seen.requests.filter((request) => request.method() === "PATCH"), []);
  await form(page).getByRole("button", { name: "Undo" }).click();
  assert.equal(await days.inputValue(), stored);
  assert.equal(await days.getAttribute("aria-invalid"), null);
  await signOut(page);
  await context.close();
});

test("what the appliance refuses is named at its field, and what was chosen stays", async () => {
  const { context, page } = await visitor(browser);
  await openPolicy(page);
  const problem = { code: "invalid-body", title: "?", status: 400, detail: "`persistent_days` is 0 to 90", way_out: "Correct the body and send it again." };
  await page.route("**/api/v1/policy", (route) => route.fulfill({ status: 400, contentType: "application/problem+json", json: problem }));
  await field(page, "Who stays signed in may be away for").fill("7");
  await save(page).click();
  await form(page).locator("[role=alert]").getByText("This was not accepted").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await form(page).locator(".field-error:visible").innerText(), problem.detail);
  assert.equal(await field(page, "Who stays signed in may be away for").inputValue(), "7");
  assert.equal(await save(page).getAttribute("aria-disabled"), null);
  await signOut(page);
  await context.close();
});

test("a policy that cannot be loaded is said, and trying again works", async () => {
  const { context, page } = await visitor(browser);
  await page.route("**/api/v1/policy", (route) => route.abort(), { times: 1 });
  await signInAt(page, people.grace, "/workspace");
  await form(page).getByText("The appliance does not answer").waitFor({ timeout: PATIENCE_MS });
  await form(page).getByRole("button", { name: "Try again" }).click();
  await form(page).getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
  await signOut(page);
  await context.close();
});

test("of two requests somebody else's is approved after asking, and one's own can only be withdrawn", async () => {
  const { context, page, seen } = await visitor(browser);
  await signInAt(page, people.grace, "/workspace");
  const list = page.locator("conclave-approval-list");
  const items = list.locator("li");
  await items.first().waitFor({ timeout: PATIENCE_MS });
  const other = items.filter({ hasText: "Erase an account: bob" });
  const own = items.filter({ hasText: "Erase an account: carol" });
  assert.match(await other.innerText(), /Left the project.*An operator, on the appliance itself/s);
  assert.match(await own.innerText(), /Asked for it by letter.*You/s);
  assert.deepEqual(await own.getByRole("button").allInnerTexts(), ["Withdraw"]);

  // The harmless answer has the focus; Escape gives up.
  await other.getByRole("button", { name: "Approve: Erase an account: bob" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Not now");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Approve");
  assert.deepEqual(seen.requests.filter((request) => request.method() === "PUT"), []);
  await page.keyboard.press("Enter");
  await other.getByRole("button", { name: "Approve it" }).click();
  await list.getByText("Approved. It can be done within a day.").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Approvals");

  await own.getByRole("button", { name: /^Withdraw/ }).click();
  await own.getByRole("button", { name: "Withdraw it" }).click();
  await list.getByText("Nothing waits for a second person.").waitFor({ timeout: PATIENCE_MS });
  await list.getByText("Decided before (2)").click();
  assert.deepEqual((await items.locator(".state").allInnerTexts()).sort(), ["Approved", "Rejected"]);
  await signOut(page);
  assert.deepEqual([seen.violations, seen.errors], [[], []]);
  await context.close();
});
