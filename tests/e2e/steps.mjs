// SPDX-License-Identifier: AGPL-3.0-or-later
// What a person does on the pages, by the labels that a person reads.

import { target } from "./browser.mjs";

/** Longer than a sign-in with full-cost Argon2id on a busy small machine. */
export const PATIENCE_MS = 20_000;

export const field = (page, name) => page.getByLabel(name, { exact: true });
export const submit = (page) => page.locator("conclave-sign-in button[type=submit]");
export const alert = (page) => page.locator("conclave-sign-in [role=alert]");
export const sessionRows = (page) => page.locator("conclave-session-list tbody tr");

export async function openSignIn(page) {
  await page.goto("/");
  await page.locator("conclave-appliance .fingerprint").waitFor({ timeout: PATIENCE_MS });
}

export async function fillSignIn(page, { workspace = target.workspace, user = target.user, password = target.password, device, stay = false } = {}) {
  await field(page, "Workspace").fill(workspace);
  await field(page, "User name").fill(user);
  await field(page, "Password").fill(password);
  if (stay) await field(page, "Stay signed in on this device").check();
  if (device === undefined) return;
  await page.getByText("More", { exact: true }).click();
  await field(page, "Name of this device").fill(device);
}

/** The submit button works (again): any countdown has run out and no answer is awaited. */
export async function untilReady(page) {
  await page.locator("conclave-sign-in button[type=submit]:not([aria-disabled])").waitFor({ timeout: PATIENCE_MS });
}

/** Signs in as a person would who was throttled: waits out the countdown and presses again. */
export async function signIn(page, who = {}) {
  await openSignIn(page);
  await fillSignIn(page, who);
  for (let tries = 0; tries < 4; tries += 1) {
    await untilReady(page);
    await submit(page).click();
    const arrived = page.waitForURL((url) => url.pathname === "/account", { timeout: PATIENCE_MS }).then(() => "in");
    const refused = alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS }).then(() => "refused");
    const outcome = await Promise.any([arrived, refused]);
    arrived.catch(() => undefined);
    refused.catch(() => undefined);
    if (outcome === "in") return untilAccountShown(page);
    const title = await alert(page).locator(".problem-title").textContent();
    if (title !== "Too many tries") throw new Error(`sign-in refused: ${await alert(page).innerText()}`);
  }
  throw new Error("still throttled after four tries");
}

/** People in a room, which takes headsets: this answers in the appliance's place. */
export async function withPeople(page) {
  const person = (display_name, muted, silenced) => ({ display_name, muted, silenced });
  const room = (name, ...participants) => ({ id: name, name, policy: { capacity: 100 }, participants });
  const long = person("Wolfeschlegelsteinhausenbergerdorff-Bergmann the Elder of the Northern Office, Ph.D.", false, false);
  const rooms = [room("board"), room("lobby", person("Ada Lovelace", false, false), person("Bob", true, false), person("Eve", true, true), long)];
  await page.route("**/api/v1/rooms", (route) => route.fulfill({ json: { rooms } }));
}

/** Signs in and goes to another page. */
export async function signInAt(page, who, path) {
  await signIn(page, who);
  await page.goto(path);
  await page.getByRole("button", { name: "Sign out" }).waitFor({ timeout: PATIENCE_MS });
}

export async function untilAccountShown(page) {
  await page.locator("conclave-profile").waitFor({ timeout: PATIENCE_MS });
  await sessionRows(page).first().waitFor({ timeout: PATIENCE_MS });
}

export async function signOut(page) {
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL((url) => url.pathname === "/", { timeout: PATIENCE_MS });
  await page.locator("conclave-sign-in form").waitFor();
}
