// SPDX-License-Identifier: AGPL-3.0-or-later
// Pictures of both pages at three sizes, light and dark, into $CONCLAVE_SHOTS; and that no size scrolls sideways.

import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, target, visitor } from "./browser.mjs";
import { SIZES, look } from "./look.mjs";
import { PATIENCE_MS, openSignIn, signIn, signOut, withPeople } from "./steps.mjs";

let browser;
before(async () => {
  browser = await launch();
  if (target.shots) await mkdir(target.shots, { recursive: true });
});
after(() => browser?.close());

for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`both pages fit a ${size} screen in ${colorScheme}`, async () => {
      const { context, page } = await visitor(browser, { viewport, colorScheme, reducedMotion: "reduce" });
      await openSignIn(page);
      await look(page, `sign-in-${size}-${colorScheme}`);
      await withPeople(page);
      await signIn(page);
      await page.locator("conclave-room-list").getByText("Silenced").waitFor({ timeout: PATIENCE_MS });
      await look(page, `account-${size}-${colorScheme}`);
      await signOut(page);
      await context.close();
    });
  }
}
