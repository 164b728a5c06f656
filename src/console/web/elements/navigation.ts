// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-navigation>: the pages that whoever is signed in has, in the bar. Where there is one only, there is nothing
// to choose, and nothing is shown.

import { text } from "../lang/index";
import { h } from "../page/dom";
import { keeping } from "../page/fragment";
import { isOperator, mayChangePolicy } from "../page/rights";
import type { Account } from "../sdk/types";

const words = text.navigation;

export class Navigation extends HTMLElement {
  reveal(account: Account): void {
    const pages = [{ path: "/account", name: words.account }];
    if (mayChangePolicy(account)) pages.push({ path: "/workspace", name: words.workspace });
    if (isOperator(account)) pages.push({ path: "/operator", name: words.appliance });
    // On the page of the operator the others need a way back.
    if (pages.length === 1 && pages[0]?.path === location.pathname) return;
    this.#show(pages);
  }

  /** For who is not signed in. */
  revealSignIn(): void {
    this.#show([{ path: "/", name: words.signIn }]);
  }

  #show(pages: readonly { readonly path: string; readonly name: string }[]): void {
    const links = pages.map(({ path, name }) => {
      const current = path === location.pathname ? "page" : undefined;
      return h("li", {}, h("a", { href: keeping(path), "aria-current": current }, name));
    });
    this.replaceChildren(h("nav", { "aria-label": words.label }, h("ul", {}, ...links)));
  }
}

customElements.define("conclave-navigation", Navigation);
