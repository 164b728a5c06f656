// SPDX-License-Identifier: AGPL-3.0-or-later
// Rooms on the page of one's account: as the appliance has them, and in states that need people in a meeting, which
// are answered in the appliance's place.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visitor } from "./browser.mjs";
import { PATIENCE_MS, signIn, signOut } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const ROOMS = "**/api/v1/rooms";
const list = (page) => page.locator("conclave-room-list");
const person = (display_name, muted = false, silenced = false) => ({ display_name, muted, silenced });
const room = (name, ...participants) => ({ id: name, name, policy: { capacity: 100 }, participants });

/** Answers for the appliance with what `rooms` says at that moment; counts how often it was asked. */
async function answering(page, rooms) {
  const asked = { count: 0 };
  await page.route(ROOMS, (route) => {
    asked.count += 1;
    const now = rooms();
    return now === null ? route.abort() : route.fulfill({ json: { rooms: now } });
  });
  return asked;
}

test("it lists the rooms of the workspace, and that nobody is there", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  const lobby = list(page).getByRole("listitem").filter({ hasText: "lobby" });
  await lobby.getByText("Nobody is there.").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await lobby.getByText("0 of 100").count(), 1);
  await signOut(page);
  await context.close();
});

test("people come and go on the page while it is looked at, and names are text", async () => {
  const { context, page } = await visitor(browser);
  let rooms = [room("lobby", person("Ada"), person("<b>Bob</b>", true), person("Eve", true, true)), room("stage")];
  const asked = await answering(page, () => rooms);
  await signIn(page);
  const people = list(page).getByRole("list", { name: "Who is in lobby" }).getByRole("listitem");
  await people.first().waitFor({ timeout: PATIENCE_MS });
  assert.deepEqual((await people.allInnerTexts()).map((text) => text.split(/\s+/).join(" ")), ["Ada", "<b>Bob</b> Muted", "Eve Silenced"]);
  assert.equal(await list(page).getByText("3 of 100").count(), 1);

  rooms = [room("lobby", person("Ada")), room("stage", person("Zoë"))];
  await list(page).getByText("Zoë").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await people.count(), 1);
  rooms = [];
  await list(page).getByText("There is no room that you may enter yet.").waitFor({ timeout: PATIENCE_MS });

  // Nobody looks: nobody asks. Who looks again is told at once.
  const hide = (hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await page.waitForTimeout(500);
  const before = asked.count;
  await page.waitForTimeout(5_000);
  assert.equal(asked.count, before);
  rooms = [room("lobby", person("Back"))];
  await hide(false);
  await list(page).getByText("Back").waitFor({ timeout: PATIENCE_MS });
  await signOut(page);
  await context.close();
});

test("when the appliance does not answer it says so, shows nothing stale, and can try again", async () => {
  const { context, page } = await visitor(browser);
  let rooms = [room("lobby", person("Ada"))];
  await answering(page, () => rooms);
  await signIn(page);
  await list(page).getByText("Ada").waitFor({ timeout: PATIENCE_MS });
  rooms = null;
  await list(page).getByText("The appliance does not answer").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await list(page).getByText("Ada").count(), 0);
  rooms = [room("lobby", person("Ada"))];
  await list(page).getByRole("button", { name: "Try again" }).click();
  await list(page).getByText("Ada").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await list(page).getByText("The appliance does not answer").count(), 0);
  await signOut(page);
  await context.close();
});

test("who signs out is told that, also when the rooms hear of it first", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  await list(page).getByRole("listitem").first().waitFor({ timeout: PATIENCE_MS });
  // The answer is held back until the rooms were refused, and their refresh.
  await page.evaluate(() => {
    const fetched = window.fetch;
    let open;
    const refused = new Promise((resolve) => (open = resolve));
    window.fetch = async (path, init) => {
      const answer = await fetched(path, init);
      if (path.endsWith("/sessions/refresh") && !answer.ok) setTimeout(open, 500);
      if (path.endsWith("/session") && init.method === "DELETE") await refused;
      return answer;
    };
  });
  await signOut(page);
  await page.getByText("You have signed out.").waitFor({ timeout: PATIENCE_MS });
  await context.close();
});
