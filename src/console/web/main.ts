// SPDX-License-Identifier: AGPL-3.0-or-later
// The one bundle of the console: every page loads it, and each page's own elements come to life.

import { localisePage } from "./lang/index";
import { keepFragment } from "./page/fragment";

import "./elements/appliance";
import "./elements/sign-out";
import "./elements/account";
import "./elements/sign-in";
import "./elements/setup";
import "./elements/recover";
import "./elements/navigation";
import "./elements/operator-link";
import "./elements/workspace";
import "./elements/operator";

localisePage();
keepFragment();

// An invitation opened in this very tab changes the fragment alone; its pin must count from the start.
addEventListener("hashchange", () => location.reload());
// A page out of the back-forward cache shows what was true before somebody signed out.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
