// SPDX-License-Identifier: AGPL-3.0-or-later
// Staying signed in on a device, and what is said to who may not come in although the password is right.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, people, visitor } from "./browser.mjs";
import { PATIENCE_MS, alert, field, fillSignIn, openSignIn, sessionRows, signIn, signOut, submit, untilAccountShown, untilReady } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

/** When the cookie ends: -1 with the browser. */
async function cookieEnd(context) {
  const found = (await context.cookies()).find((cookie) => cookie.name === "__Host-conclave-refresh");
  return found.expires;
}

test("a device stays signed in when its person says so, and the list of sessions shows it", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page, { stay: true, device: "Desk" });
  const here = sessionRows(page).filter({ hasText: "This device" });
  assert.equal(await here.getByText("Stays signed in").count(), 1);
  assert.ok((await cookieEnd(context)) > 0, "the cookie outlives the browser");
  await page.reload();
  await untilAccountShown(page);
  assert.ok((await cookieEnd(context)) > 0, "and still does when it was renewed");
  await signOut(page);
  await context.close();
});

test("without the tick it does not stay signed in", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  assert.equal(await field(page, "Stay signed in on this device").isChecked(), false);
  await signIn(page);
  const here = sessionRows(page).filter({ hasText: "This device" });
  assert.equal(await here.getByText("Stays signed in").count(), 0);
  assert.equal(await cookieEnd(context), -1);
  await signOut(page);
  await context.close();
});

test("the tick can be set with the keyboard and says what it means", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  const tick = field(page, "Stay signed in on this device");
  await field(page, "Password").focus();
  for (let tabs = 0; tabs < 3 && !(await tick.evaluate((node) => node === document.activeElement)); tabs += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.equal(await tick.isChecked(), true);
  const described = await tick.getAttribute("aria-describedby");
  assert.match(await page.locator(`#${described.split(" ")[0]}`).innerText(), /when you close it.*list of sessions/);
  await context.close();
});

test("a suspended workspace says so with the way out, and keeps what was typed", async () => {
  const { context, page } = await visitor(browser);
  await openSignIn(page);
  await fillSignIn(page, people.pam);
  await submit(page).click();
  await alert(page).getByText("The workspace is suspended", { exact: true }).waitFor({ timeout: PATIENCE_MS });
  assert.match(await alert(page).innerText(), /Nothing was deleted.*Ask the operator to resume it/s);
  assert.equal(await field(page, "Password").inputValue(), people.pam.password);
  await context.close();
});

for (const [code, title, dutch] of [
  ["trial-over", "The trial is over", "De proefperiode is voorbij"],
  ["workspace-closed", "The workspace is closed", "De workspace is gesloten"],
  ["guests-not-admitted", "Guests are not let in now", "Gasten worden nu niet toegelaten"],
]) {
  test(`${code} is said in words, with the appliance's reason and way out`, async () => {
    for (const [locale, said] of [["en-GB", title], ["nl-NL", dutch]]) {
      const { context, page } = await visitor(browser, { locale });
      const problem = { code, title: "?", status: 403, detail: `why ${code}`, way_out: `the way out of ${code}` };
      const answer = { status: 403, contentType: "application/problem+json", json: problem };
      await page.route("**/api/v1/sessions", (route) => route.fulfill(answer));
      await page.goto("/");
      await page.locator("conclave-appliance .fingerprint").waitFor({ timeout: PATIENCE_MS });
      for (const [id, value] of [["workspace", "demo"], ["username", "ada"], ["password", "some words"]]) await page.locator(`#${id}`).fill(value);
      await untilReady(page);
      await submit(page).click();
      await alert(page).getByText(said, { exact: true }).waitFor({ timeout: PATIENCE_MS });
      const shown = await alert(page).innerText();
      assert.ok(shown.includes(problem.detail) && shown.includes(problem.way_out), shown);
      await context.close();
    }
  });
}
