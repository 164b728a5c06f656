// SPDX-License-Identifier: AGPL-3.0-or-later
// A page for who is signed in: loads who that is, then hands over to its parts; whoever is not signed in goes to the
// sign-in page.

import { titlePage } from "../lang/index";
import { api, prepare } from "../page/context";
import { h } from "../page/dom";
import { go } from "../page/fragment";
import { isPassing, noticeOf } from "../page/notice";
import { type Failure, failureOf } from "../sdk/failure";
import type { Account } from "../sdk/types";
import type { Navigation } from "./navigation";
import { problemBox } from "./problem";
import { SIGNED_OUT, type SignOut } from "./sign-out";

export abstract class SignedInPage extends HTMLElement {
  protected readonly problem = problemBox();
  protected readonly content = h("div");
  protected abstract readonly words: { readonly title: string; readonly loading: string };

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.className = "page";
    titlePage(this.words.title);
    this.append(h("h1", { class: "page-title" }, this.words.title), this.problem, this.content);
    document.addEventListener(SIGNED_OUT, () => {
      if (!document.querySelector<SignOut>("conclave-sign-out")?.signingOut) go("/", "session-ended");
    });
    void this.load();
  }

  /** Shows the page for this account. A refusal is said on the page. */
  protected abstract show(account: Account): Promise<void>;

  protected async load(): Promise<void> {
    this.problem.clear();
    this.content.setAttribute("aria-busy", "true");
    this.content.replaceChildren(h("p", { class: "loading", role: "status" }, this.words.loading));
    try {
      await prepare();
      const account = await api.me();
      document.querySelector<SignOut>("conclave-sign-out")?.reveal(this.problem);
      document.querySelector<Navigation>("conclave-navigation")?.reveal(account);
      await this.show(account);
      this.content.removeAttribute("aria-busy");
    } catch (thrown) {
      this.#fail(failureOf(thrown));
    }
  }

  #fail(failure: Failure): void {
    if (failure.kind === "signed-out") return go("/", "sign-in-first");
    this.content.removeAttribute("aria-busy");
    this.content.replaceChildren();
    this.problem.show(noticeOf(failure), { retry: isPassing(failure) ? () => void this.load() : undefined });
  }
}
