// SPDX-License-Identifier: AGPL-3.0-or-later
// What the pages promise about privacy: nothing stored, nothing sent elsewhere, no readable credential, a
// content security policy that holds.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, target, visitor } from "./browser.mjs";
import { field, signIn, signOut } from "./steps.mjs";

/** What must be in force; the appliance may be stricter still, with directives that are not here. */
const POLICY = {
  "default-src": "'none'",
  "script-src": "'self'",
  "style-src": "'self'",
  "img-src": "'self'",
  "font-src": "'self'",
  "connect-src": "'self'",
  "base-uri": "'none'",
  "form-action": "'none'",
  "frame-ancestors": "'none'",
  "require-trusted-types-for": "'script'",
};

function directives(policy) {
  return Object.fromEntries(
    policy.split(";").map((part) => {
      const [name, ...values] = part.trim().split(/\s+/);
      return [name, values.join(" ")];
    }),
  );
}

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

test("storage stays empty, and the cookie is out of reach of scripts", async () => {
  const { context, page } = await visitor(browser);
  await signIn(page);
  const stored = await page.evaluate(async () => ({
    local: localStorage.length,
    session: sessionStorage.length,
    databases: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
    cookie: document.cookie,
  }));
  assert.deepEqual(stored, { local: 0, session: 0, databases: 0, caches: 0, cookie: "" });
  const cookies = await context.cookies();
  assert.deepEqual(cookies.map((cookie) => cookie.name), ["__Host-conclave-refresh"]);
  const [cookie] = cookies;
  assert.deepEqual(
    { secure: cookie.secure, httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path },
    { secure: true, httpOnly: true, sameSite: "Strict", path: "/" },
  );
  await signOut(page);
  await context.close();
});

test("no request leaves for another origin, and none carries the credential", async () => {
  const { context, page, seen } = await visitor(browser);
  const secret = `unheard-of ${Math.random()}`;
  await signIn(page);
  await field(page, "Current password").fill(secret);
  await field(page, "New password").fill(`${secret} new`);
  await field(page, "New password again").fill(`${secret} new`);
  await page.getByRole("button", { name: "Change password" }).click();
  await page.locator("conclave-password-change .problem-title").waitFor();
  await signOut(page);

  const posted = seen.requests.filter((request) => request.method() !== "GET");
  assert.ok(posted.some((request) => request.url().endsWith("/api/v1/sessions")), "the sign-in was seen");
  assert.ok(posted.some((request) => request.url().endsWith("/api/v1/me/password")), "the change was seen");
  for (const request of seen.requests) {
    assert.equal(new URL(request.url()).origin, target.origin);
    const carried = [request.url(), request.postData() ?? "", JSON.stringify(request.headers())].join("\n");
    for (const plain of [target.password, secret]) {
      for (const form of [plain, encodeURIComponent(plain), Buffer.from(plain).toString("base64url").slice(0, -1)]) {
        assert.ok(!carried.includes(form), `${request.method()} ${request.url()} carries the credential`);
      }
    }
  }
  const signInBody = JSON.parse(posted.find((request) => request.url().endsWith("/api/v1/sessions")).postData());
  assert.deepEqual(Object.keys(signInBody).sort(), ["carrier", "device_name", "persistent", "sealed"]);
  await context.close();
});

test("the content security policy is served, and nothing runs against it", async () => {
  const { context, page, seen } = await visitor(browser);
  for (const path of ["/", "/operator", "/workspace", "/account"]) {
    const response = await page.goto(path);
    const served = directives(response.headers()["content-security-policy"] ?? "");
    assert.deepEqual(Object.fromEntries(Object.keys(POLICY).map((name) => [name, served[name]])), POLICY);
    // Nobody is signed in, so these pages lead away; a `goto` meanwhile would cross their way.
    if (path === "/workspace" || path === "/account") await page.waitForURL((url) => url.pathname === "/");
  }
  await signIn(page);
  await signOut(page);
  assert.deepEqual(seen.violations, []);
  assert.deepEqual(seen.errors, []);
  // A violation would have been seen:
  const refused = page.waitForEvent("console", (message) => /content security policy/i.test(message.text()));
  await page.evaluate(() => document.body.append(Object.assign(document.createElement("style"), { textContent: "p{}" })));
  await refused;
  assert.notDeepEqual(seen.violations, []);
  await context.close();
});
