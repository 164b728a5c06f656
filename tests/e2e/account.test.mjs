// SPDX-License-Identifier: AGPL-3.0-or-later
// My account: what it shows, sessions and ending one, a refused change of password, staying and leaving.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, target, visitor } from "./browser.mjs";
import { PATIENCE_MS, field, sessionRows, signIn, signOut, untilAccountShown } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const unique = (name) => `${name} ${Math.random().toString(36).slice(2, 8)}`;

test("it says who is signed in, and what they may do", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  const facts = await page.locator("conclave-profile").innerText();
  assert.ok(facts.includes(target.user));
  assert.ok(facts.includes(target.workspace));
  assert.notEqual((await page.locator("conclave-profile h2").innerText()).trim(), "");
  assert.match(facts, /Role\s+(Admin|Power User|User|Guest)/);
  assert.match(facts, /Status\s+Active/);
  assert.ok((await page.locator("conclave-permission-list li code").count()) > 0);
  const given = page.locator("conclave-permission-list li").filter({ hasText: "Given to you" });
  assert.deepEqual(await given.locator("code").allInnerTexts(), ["xr.early_access"]);
  assert.equal(await sessionRows(page).filter({ hasText: "This device" }).count(), 1);
  await signOut(page);
  await context.close();
});

test("a second sign-in is a second session, and ending it signs that device out", async () => {
  const first = await visitor(browser);
  const second = await visitor(browser);
  const [here, there] = [unique("first"), unique("second")];
  await signIn(first.page, { device: here });
  await signIn(second.page, { device: there });

  await first.page.reload();
  await untilAccountShown(first.page);
  assert.equal(await sessionRows(first.page).filter({ hasText: here }).filter({ hasText: "This device" }).count(), 1);
  const other = sessionRows(first.page).filter({ hasText: there });
  assert.equal(await other.count(), 1);
  assert.match(await other.locator("time").first().innerText(), /\d{4}/);

  await other.getByRole("button", { name: `End the session on ${there}` }).click();
  await other.waitFor({ state: "detached", timeout: PATIENCE_MS });
  assert.equal(await first.page.locator("conclave-session-list [role=status]").innerText(), `The session on ${there} has ended.`);

  await second.page.reload();
  await second.page.waitForURL((url) => url.pathname === "/", { timeout: PATIENCE_MS });
  await second.page.getByText("Sign in to see your account.").waitFor();

  await signOut(first.page);
  await first.context.close();
  await second.context.close();
});

test("all other sessions end together, after asking once", async () => {
  const first = await visitor(browser);
  const second = await visitor(browser);
  await signIn(second.page, { device: unique("other") });
  await signIn(first.page);
  await first.page.getByRole("button", { name: "End all others" }).click();
  assert.equal(await first.page.evaluate(() => document.activeElement?.textContent), "Keep them");
  await first.page.getByRole("button", { name: "End them" }).click();
  await first.page.getByText("You are signed in on this device only.").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await sessionRows(first.page).count(), 1);
  await signOut(first.page);
  await first.context.close();
  await second.context.close();
});

async function changePassword(page, current, next, repeat = next) {
  await field(page, "Current password").fill(current);
  await field(page, "New password").fill(next);
  await field(page, "New password again").fill(repeat);
  await page.getByRole("button", { name: "Change password" }).click();
  const problem = page.locator("conclave-password-change [role=alert]");
  await problem.locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
  return problem;
}

test("a weak new password is refused, with the reason and the way out", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  const answered = page.waitForResponse((response) => response.url().endsWith("/api/v1/me/password"));
  const problem = await changePassword(page, target.password, "password");
  const said = await (await answered).json();
  const shown = await problem.innerText();
  assert.ok(said.detail && shown.includes(said.detail), `the reason "${said.detail}" is shown`);
  assert.ok(said.way_out && shown.includes(said.way_out), `the way out "${said.way_out}" is shown`);
  assert.equal(await field(page, "New password").inputValue(), "password", "what was typed stays");
  await signOut(page);
  await context.close();
});

test("two different new passwords are caught before anything is sent", async () => {
  const { context, page, seen } = await visitor(browser);
  await signIn(page);
  const before = seen.requests.length;
  const problem = await changePassword(page, target.password, "one two three four five", "one two three four six");
  assert.match(await problem.innerText(), /two new passwords differ/);
  assert.equal(seen.requests.length, before);
  await signOut(page);
  await context.close();
});

test("a tab waits with its refresh until the other tab's is answered", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  const tab = await context.newPage();
  let letGo;
  const held = new Promise((resolve) => (letGo = resolve));
  const asked = [];
  await context.route("**/api/v1/sessions/refresh", async (route) => {
    asked.push(route.request());
    if (asked.length === 1) await held;
    await route.continue();
  });
  const first = page.waitForRequest("**/api/v1/sessions/refresh");
  await page.reload();
  await first;
  await tab.goto("/account");
  await tab.waitForFunction(async () => (await navigator.locks.query()).pending.length === 1, null, { timeout: PATIENCE_MS });
  assert.equal(asked.length, 1);
  letGo();
  await Promise.all([untilAccountShown(tab), untilAccountShown(page)]);
  assert.equal(asked.length, 2);
  await signOut(page);
  await context.close();
});

test("a reload keeps signed in, two tabs refresh without a quarrel, and signing out ends it", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  await page.reload();
  await untilAccountShown(page);
  const tab = await context.newPage();
  await Promise.all([tab.goto("/account"), page.reload()]);
  await Promise.all([untilAccountShown(tab), untilAccountShown(page)]);
  await Promise.all([tab.reload(), page.reload()]);
  await Promise.all([untilAccountShown(tab), untilAccountShown(page)]);

  await page.goto("/");
  await page.waitForURL((url) => url.pathname === "/account", { timeout: PATIENCE_MS });
  await untilAccountShown(page);

  await signOut(page);
  await page.getByText("You have signed out.").waitFor();
  await tab.reload();
  await tab.waitForURL((url) => url.pathname === "/", { timeout: PATIENCE_MS });
  const left = (await context.cookies()).filter((cookie) => cookie.name === "__Host-conclave-refresh");
  assert.deepEqual(left, []);
  await context.close();
});
