// SPDX-License-Identifier: AGPL-3.0-or-later
// Pictures of the pages at three sizes, light and dark, into $CONCLAVE_SHOTS; and that no size scrolls sideways.

import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, people, target, visitor } from "./browser.mjs";
import { SIZES, look } from "./look.mjs";
import { PATIENCE_MS, openSignIn, signIn, signInAt, signOut, withPeople } from "./steps.mjs";

let browser;
before(async () => {
  browser = await launch();
  if (target.shots) await mkdir(target.shots, { recursive: true });
});
after(() => browser?.close());

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`the pages fit a ${size} screen in ${colorScheme}`, async () => {
      const { context, page } = await visitor(browser, { viewport, colorScheme, reducedMotion: "reduce" });
      await openSignIn(page);
      await look(page, `sign-in-${size}-${colorScheme}`);
      await withPeople(page);
      await signIn(page, { stay: true });
      await page.locator("conclave-room-list").getByText("Silenced").waitFor({ timeout: PATIENCE_MS });
      await look(page, `account-${size}-${colorScheme}`);
      await signOut(page);
      await signIn(page, people.wanda);
      await page.locator("conclave-agreement").waitFor({ timeout: PATIENCE_MS });
      await look(page, `agreement-${size}-${colorScheme}`);
      await signOut(page);
      await signIn(page, people.will);
      await look(page, `agreement-wait-${size}-${colorScheme}`);
      await signOut(page);
      await signInAt(page, people.grace, "/workspace");
      await page.locator("conclave-policy-form").getByRole("switch").first().waitFor({ timeout: PATIENCE_MS });
      await page.locator("conclave-approval-list li").first().waitFor({ timeout: PATIENCE_MS });
      await look(page, `workspace-${size}-${colorScheme}`);
      await signOut(page);
      await signInAt(page, people.operator, "/operator");
      await page.locator("conclave-approval-list .empty").waitFor({ timeout: PATIENCE_MS });
      await look(page, `operator-${size}-${colorScheme}`);
      await signOut(page);
      await page.goto("/operator");
      await page.locator("conclave-operator-facts").waitFor({ timeout: PATIENCE_MS });
      await look(page, `who-runs-this-${size}-${colorScheme}`);
      await context.close();
    });
  }
}
