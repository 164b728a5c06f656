// SPDX-License-Identifier: AGPL-3.0-or-later
// Starts the browser and points it at the appliance under test. What to test comes from the environment:
//
//   CONCLAVE_URL        origin of the appliance, such as https://127.0.0.1:8443
//   CONCLAVE_WORKSPACE  a workspace with an active account:
//   CONCLAVE_USER
//   CONCLAVE_PASSWORD
//   CONCLAVE_PEOPLE     others, by name: a JSON object of {workspace, user, password}, as tests/it/console.rs makes it
//   CONCLAVE_CA_HOME    a HOME whose NSS database (.pki/nssdb) trusts the appliance's root: certificates are
//                       then verified as for anyone else. Preferred.
//   CONCLAVE_SPKI       else: base64 SHA-256 of the public key to accept
//                       (with neither, certificate errors are ignored)
//   CONCLAVE_SHOTS      where to write screenshots; none are made without it
//   CONCLAVE_CHROMIUM   another browser than /usr/bin/chromium

import { chromium } from "playwright-core";

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; see the head of tests/e2e/browser.mjs`);
  return value;
}

export const target = {
  origin: new URL(required("CONCLAVE_URL")).origin,
  workspace: required("CONCLAVE_WORKSPACE"),
  user: required("CONCLAVE_USER"),
  password: required("CONCLAVE_PASSWORD"),
  shots: process.env.CONCLAVE_SHOTS,
};

export const people = JSON.parse(process.env.CONCLAVE_PEOPLE ?? "{}");

const caHome = process.env.CONCLAVE_CA_HOME;
const spki = process.env.CONCLAVE_SPKI;

const ARGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({
    executablePath: process.env.CONCLAVE_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: caHome || !spki ? ARGS : [...ARGS, `--ignore-certificate-errors-spki-list=${spki}`],
    env: caHome ? { ...process.env, HOME: caHome } : process.env,
  });
}

/**
 * A fresh visitor. Whatever a page of it asks for, says in its console or is refused by the content security
 * policy is kept in `seen`, for a test to look at.
 */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({
    baseURL: target.origin,
    locale: "en-GB",
    ignoreHTTPSErrors: !caHome && !spki,
    ...options,
  });
  const page = await context.newPage();
  const seen = { requests: [], violations: [], errors: [] };
  context.on("request", (request) => seen.requests.push(request));
  page.on("console", (message) => {
    if (/content security policy|trusted ?types?|requires '?Trusted/i.test(message.text())) seen.violations.push(message.text());
  });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  return { context, page, seen };
}
