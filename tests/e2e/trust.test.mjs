// SPDX-License-Identifier: AGPL-3.0-or-later
// Whom the sign-in page trusts: the pinned identity, else the one it has shown, and only keys which that signed.

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { after, before, test } from "node:test";
import { launch, visitor } from "./browser.mjs";
import { PATIENCE_MS, alert, field, fillSignIn, openSignIn, submit, untilReady } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

test("a pin that differs stops everything, and one that fits is said to", async () => {
  const { context, page, seen } = await visitor(browser);
  const answered = page.waitForResponse((response) => response.url().endsWith("/api/v1/sign-in"));
  await openSignIn(page);
  const { identity_key: identity } = await (await answered).json();

  // Opened in the same tab, an invitation changes the fragment alone.
  await page.goto(`/#workspace=atelier&pin=${identity}`);
  await page.getByText("Matches your invitation.").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await field(page, "Workspace").inputValue(), "atelier");

  seen.requests.length = 0;
  await page.goto(`/#pin=${"A".repeat(43)}`);
  await alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await alert(page).locator(".problem-title").textContent(), "This is not the appliance that was expected");
  await fillSignIn(page);
  await submit(page).click({ force: true });
  await field(page, "Password").press("Enter");
  assert.equal(await submit(page).getAttribute("aria-disabled"), "true");
  assert.deepEqual(seen.requests.filter((request) => request.method() !== "GET").map((request) => request.url()), []);
  await context.close();
});

/**
 * Signs in while somebody between the page and the appliance changes the offer. What was offered before is
 * changed and replayed, for the same reason as in life: only the browser trusts the appliance's root here.
 */
async function signInThroughForger(page, seen, forge) {
  const offered = page.waitForResponse((response) => response.url().endsWith("/api/v1/sign-in"));
  await openSignIn(page);
  const offer = await (await offered).json();
  await fillSignIn(page);
  await untilReady(page);
  await page.route("**/api/v1/sign-in", (route) => route.fulfill({ json: forge(offer) }));
  seen.requests.length = 0;
  await submit(page).click();
  await alert(page).locator(".problem-title").waitFor({ timeout: PATIENCE_MS });
  const sent = seen.requests.filter((request) => request.method() !== "GET").map((request) => request.url());
  return { title: await alert(page).locator(".problem-title").textContent(), sent };
}

test("a sealing key that the appliance did not sign gets nothing", async () => {
  const { context, page, seen } = await visitor(browser);
  const { title, sent } = await signInThroughForger(page, seen, (offer) => {
    const key = Buffer.from(offer.sealing_key.public_key, "base64url");
    key[0] ^= 1;
    return { ...offer, sealing_key: { ...offer.sealing_key, public_key: key.toString("base64url") } };
  });
  assert.equal(title, "The appliance could not prove its key");
  assert.deepEqual(sent, []);
  await context.close();
});

test("another identity than the one on the page gets nothing", async () => {
  const { context, page, seen } = await visitor(browser);
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const identity = publicKey.export({ format: "jwk" }).x;
  // Everything is signed as it should be, only by somebody else.
  const { title, sent } = await signInThroughForger(page, seen, (offer) => {
    const { id, public_key: key, not_after: notAfter } = offer.sealing_key;
    const end = Buffer.alloc(8);
    end.writeBigInt64BE(BigInt(Date.parse(notAfter)));
    const signed = [Buffer.from("conclave-sealing-key-1\0"), Buffer.from(id.replaceAll("-", ""), "hex"), Buffer.from(key, "base64url"), end];
    const signature = sign(null, Buffer.concat(signed), privateKey).toString("base64url");
    return { ...offer, identity_key: identity, sealing_key: { ...offer.sealing_key, signature } };
  });
  assert.equal(title, "This is not the appliance that was expected");
  assert.deepEqual(sent, []);
  await context.close();
});
