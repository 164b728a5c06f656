// SPDX-License-Identifier: AGPL-3.0-or-later
// The data processing agreement: who may accepts it before the workspace is used, the others are told, and a newer text
// is announced.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { launch, people, visitor } from "./browser.mjs";
import { PATIENCE_MS, signIn, signOut, untilAccountShown } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const panel = (page) => page.locator("conclave-agreement");
const tick = (page) => page.getByLabel("I accept this for my organisation");

test("nobody else can accept it, and is told who has to", async () => {
  const { context, page, seen } = await visitor(browser);
  await signIn(page, people.will);
  await page.getByText("This workspace is not open yet").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await panel(page).count(), 0);
  assert.equal(await page.locator("conclave-room-list").count(), 0);
  assert.equal(await page.getByRole("navigation").count(), 0);
  // The rooms would be refused, so they are not asked for.
  assert.deepEqual(seen.requests.filter((request) => request.url().endsWith("/api/v1/rooms")), []);
  await signOut(page);
  await context.close();
});

test("an Admin reads it, accepts what was read with the keyboard, and the workspace opens for all", async () => {
  const { context, page, seen } = await visitor(browser);
  const answered = page.waitForResponse((response) => response.url().endsWith("/api/v1/agreement"));
  await signIn(page, people.fred);
  const { text, sha256 } = await (await answered).json();
  assert.equal(createHash("sha256").update(text).digest("hex"), sha256, "the hash is of this text");
  await panel(page).waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.locator("conclave-room-list").count(), 0);
  const shown = await panel(page).locator(".agreement-text").innerText();
  const words = (from) => from.split(/\s+/).filter((word) => word !== "");
  assert.deepEqual(words(shown), words(text), "every word of it is shown");
  assert.ok((await panel(page).innerText()).includes(sha256));

  // It scrolls by the keyboard.
  await panel(page).getByRole("region", { name: "Text of the agreement" }).focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.querySelector(".agreement-text").scrollTop > 0, null, { timeout: PATIENCE_MS });

  // Without the tick nothing is sent.
  await panel(page).getByRole("button", { name: "Accept the agreement" }).click();
  await panel(page).getByText("Tick the box to accept the agreement").waitFor();
  assert.equal(await tick(page).evaluate((node) => node === document.activeElement), true);
  assert.deepEqual(seen.requests.filter((request) => request.url().endsWith("/acceptances")), []);

  await page.keyboard.press("Space");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("The agreement is accepted.").waitFor({ timeout: PATIENCE_MS });
  await page.locator("conclave-room-list .empty").waitFor({ timeout: PATIENCE_MS });
  const [sent] = seen.requests.filter((request) => request.url().endsWith("/acceptances"));
  assert.deepEqual(JSON.parse(sent.postData()), { sha256 });

  await page.reload();
  await untilAccountShown(page);
  assert.equal(await panel(page).count(), 0);
  await signOut(page);

  await signIn(page, people.fay);
  await page.locator("conclave-room-list .empty").waitFor({ timeout: PATIENCE_MS });
  await signOut(page);
  assert.deepEqual([seen.violations, seen.errors], [[], []]);
  await context.close();
});

test("a text that changed while it was read is shown anew and has to be accepted anew", async () => {
  const { context, page } = await visitor(browser);
  const found = { text: "A text.", sha256: "00".repeat(32), accepted: false, outdated: false, acceptances: [] };
  await page.route("**/api/v1/agreement", (route) => route.fulfill({ json: found }));
  await signIn(page, people.wanda);
  await tick(page).check();
  await page.unroute("**/api/v1/agreement");
  await panel(page).getByRole("button", { name: "Accept the agreement" }).click();
  await panel(page).getByText("The agreement has changed meanwhile").waitFor({ timeout: PATIENCE_MS });
  assert.match(await panel(page).locator(".agreement-text").innerText(), /DATA PROCESSING AGREEMENT/);
  assert.equal(await tick(page).isChecked(), false);
  await signOut(page);
  await context.close();
});

test("a newer text is announced to who may accept it, and nobody is kept from working", async () => {
  const { context, page } = await visitor(browser);
  await page.addInitScript(() => {
    const fetched = window.fetch;
    window.fetch = async (path, init) => {
      const answer = await fetched(path, init);
      if (path !== "/api/v1/agreement") return answer;
      return Response.json({ ...(await answer.json()), accepted: true, outdated: true });
    };
  });
  await signIn(page, people.bob);
  await page.locator("conclave-room-list .empty").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.locator("conclave-agreement-notice").count(), 0);
  await signOut(page);

  await signIn(page, people.grace);
  const notice = page.locator("conclave-agreement-notice");
  await notice.getByText("There is a newer data processing agreement").waitFor({ timeout: PATIENCE_MS });
  await page.locator("conclave-room-list .empty").waitFor({ timeout: PATIENCE_MS });
  await notice.getByRole("button", { name: "Read and accept it" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Data processing agreement");
  await tick(page).check();
  await panel(page).getByRole("button", { name: "Accept the agreement" }).click();
  await page.getByText("The newer agreement is accepted.").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await page.locator("conclave-room-list").count(), 1);
  await signOut(page);
  await context.close();
});
