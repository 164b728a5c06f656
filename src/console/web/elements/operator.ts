// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-operator>: who runs this. Everybody reads it, signed in or not; operators write it here, beside what else is
// the same for the whole appliance.

import { text, titlePage } from "../lang/index";
import { api, prepare } from "../page/context";
import { h } from "../page/dom";
import { go } from "../page/fragment";
import { isPassing, noticeOf } from "../page/notice";
import { isOperator } from "../page/rights";
import { failureOf } from "../sdk/failure";
import { appliance, authorities, operator } from "../sdk/rules";
import type { Account } from "../sdk/types";
import { applianceVoice } from "./appliance-voice";
import { approvalList } from "./approval-list";
import type { Navigation } from "./navigation";
import { operatorFacts } from "./operator-facts";
import { operatorForm } from "./operator-form";
import { problemBox } from "./problem";
import { SIGNED_OUT, type SignOut } from "./sign-out";

const words = text.operator;

export class OperatorPage extends HTMLElement {
  readonly #title = h("h1", { class: "page-title" }, words.title);
  readonly #problem = problemBox();
  readonly #content = h("div", { class: "columns" });

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.className = "page";
    titlePage(words.title);
    this.append(this.#title, this.#problem, this.#content);
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
      await this.#prepare();
      const account = await this.#whoAsks();
      if (account !== null && isOperator(account)) await this.#showToOperator(account);
      else this.#content.replaceChildren(h("p", { class: "page-lead" }, words.lead), operatorFacts(await operator(api)));
    } catch (thrown) {
      const failure = failureOf(thrown);
      this.#content.replaceChildren();
      this.#problem.show(noticeOf(failure), { retry: isPassing(failure) ? () => void this.#load() : undefined });
    }
    this.#content.removeAttribute("aria-busy");
  }

  /** To read this a browser need not be able to sign in. */
  async #prepare(): Promise<void> {
    try {
      await prepare();
    } catch (thrown) {
      if (failureOf(thrown).kind !== "unsupported") throw thrown;
    }
  }

  /** Who is signed in here, if anybody. Whatever stands in their way is no hindrance to reading this page. */
  async #whoAsks(): Promise<Account | null> {
    const navigation = document.querySelector<Navigation>("conclave-navigation");
    try {
      const account = await api.me();
      document.querySelector<SignOut>("conclave-sign-out")?.reveal(this.#problem);
      navigation?.reveal(account);
      return account;
    } catch {
      navigation?.revealSignIn();
      return null;
    }
  }

  async #showToOperator(account: Account): Promise<void> {
    const [stored, known] = await Promise.all([appliance(api), authorities(api)]);
    this.#title.textContent = words.page;
    titlePage(words.page);
    this.#content.replaceChildren(
      h("p", { class: "page-lead" }, words.pageLead),
      operatorForm(stored, known),
      h("div", { class: "column" }, applianceVoice(stored.voice), approvalList(`/api/v1/system/workspaces/${account.workspace.id}`, account)),
    );
  }
}

customElements.define("conclave-operator", OperatorPage);
