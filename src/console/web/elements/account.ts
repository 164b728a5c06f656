// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-account>: "my account" as a whole. Loads who is signed in, then hands over to its parts; whoever
// is not signed in goes to the sign-in page.

import { text, titlePage } from "../lang/index";
import { api, prepare } from "../page/context";
import { h } from "../page/dom";
import { go } from "../page/fragment";
import { isPassing, noticeOf } from "../page/notice";
import { type Failure, failureOf } from "../sdk/failure";
import type { Account } from "../sdk/types";
import { noticeList } from "./notice-list";
import { passwordChange } from "./password-change";
import { permissionList } from "./permission-list";
import { problemBox } from "./problem";
import { profile } from "./profile";
import { roomList } from "./room-list";
import { sessionList } from "./session-list";
import { SIGNED_OUT, type SignOut } from "./sign-out";

const words = text.account;

/** The reserved workspace, whose accounts run the appliance. */
const OPERATORS = "system";

export class AccountPage extends HTMLElement {
  readonly #problem = problemBox();
  readonly #content = h("div", { class: "account-content" });

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    titlePage(words.title);
    this.append(h("h1", { class: "page-title" }, words.title), this.#problem, this.#content);
    document.addEventListener(SIGNED_OUT, () => {
      if (!document.querySelector<SignOut>("conclave-sign-out")?.signingOut) go("/", "session-ended");
    });
    void this.#load();
  }

  async #load(): Promise<void> {
    this.#problem.clear();
    this.#content.setAttribute("aria-busy", "true");
    this.#content.replaceChildren(h("p", { class: "loading", role: "status" }, words.loading));
    try {
      await prepare();
      this.#show(await api.me());
    } catch (thrown) {
      this.#fail(failureOf(thrown));
    }
  }

  #show(account: Account): void {
    document.querySelector<SignOut>("conclave-sign-out")?.reveal(this.#problem);
    this.#content.removeAttribute("aria-busy");
    // Operators have no rooms.
    const first = account.workspace.name === OPERATORS ? operatorsOwn(account) : [roomList()];
    this.#content.replaceChildren(
      profile(account),
      h("div", { class: "account-main" }, ...first, sessionList(), passwordChange(account)),
      permissionList(account.permissions, account.by_hand),
    );
  }

  #fail(failure: Failure): void {
    if (failure.kind === "signed-out") return go("/", "sign-in-first");
    this.#content.removeAttribute("aria-busy");
    this.#content.replaceChildren();
    this.#problem.show(noticeOf(failure), { retry: isPassing(failure) ? () => void this.#load() : undefined });
  }
}

/** What concerns those who run the appliance, and not whoever helps them. */
function operatorsOwn(account: Account): HTMLElement[] {
  return account.role === "admin" ? [noticeList()] : [];
}

customElements.define("conclave-account", AccountPage);
