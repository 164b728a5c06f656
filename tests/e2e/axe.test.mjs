// SPDX-License-Identifier: AGPL-3.0-or-later
// axe-core on every page and in the states that matter, light and dark.

import { after, before, test } from "node:test";
import { launch, people, visitor } from "./browser.mjs";
import { audit } from "./look.mjs";
import { PATIENCE_MS, alert, fillSignIn, openSignIn, signIn, signInAt, signOut, submit, withPeople } from "./steps.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing in ${colorScheme}`, async () => {
    const { context, page } = await visitor(browser, { colorScheme, reducedMotion: "reduce" });
    await openSignIn(page);
    await audit(page, "sign-in, idle");
    await submit(page).click();
    await audit(page, "sign-in, fields missing");
    await fillSignIn(page, { user: `axe-${colorScheme}-${Math.random()}`, password: "wrong", device: "Desk" });
    await submit(page).click();
    await alert(page).getByText("Sign-in was refused").waitFor({ timeout: PATIENCE_MS });
    await audit(page, "sign-in, refused");

    const other = await visitor(browser);
    await signIn(other.page);
    await withPeople(page);
    await signIn(page);
    await page.locator("conclave-room-list").getByText("Silenced").waitFor({ timeout: PATIENCE_MS });
    await audit(page, "account");
    await page.getByRole("button", { name: "End all others" }).click();
    await page.getByRole("button", { name: "Change password" }).click();
    await audit(page, "account, asking and fields missing");
    await page.setViewportSize({ width: 390, height: 844 });
    await audit(page, "account on a phone");
    await signOut(page);
    await audit(page, "signed out");
    await signOut(other.page);
    await other.context.close();
    await context.close();
  });

  test(`axe finds nothing on the pages of workspace and operator in ${colorScheme}`, async () => {
    const { context, page } = await visitor(browser, { colorScheme, reducedMotion: "reduce" });
    const phone = () => page.setViewportSize({ width: 390, height: 844 });
    await page.goto("/operator");
    await page.locator("conclave-operator-facts").waitFor({ timeout: PATIENCE_MS });
    await audit(page, "who runs this");

    await signIn(page, people.will);
    await audit(page, "the agreement is not accepted");
    await signOut(page);
    await signIn(page, people.wanda);
    await page.locator("conclave-agreement").waitFor({ timeout: PATIENCE_MS });
    await page.getByRole("button", { name: "Accept the agreement" }).click();
    await audit(page, "agreement, not ticked");
    await signOut(page);

    await signInAt(page, people.grace, "/workspace");
    await page.locator("conclave-policy-form").getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
    await page.locator("conclave-approval-list li").first().waitFor({ timeout: PATIENCE_MS });
    await page.getByLabel("Sign out when not used for").fill("0");
    await page.getByRole("button", { name: "Save changes" }).click();
    await page.getByRole("button", { name: /^Approve/ }).click();
    await audit(page, "workspace, a number wrong and asking");
    await phone();
    await audit(page, "workspace on a phone");
    await signOut(page);

    await signInAt(page, people.operator, "/operator");
    await page.locator("conclave-approval-list .empty").waitFor({ timeout: PATIENCE_MS });
    await audit(page, "operator on a phone");
    await signOut(page);
    await context.close();
  });
}
