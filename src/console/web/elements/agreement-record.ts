// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-agreement-record>: which agreement was accepted for the workspace, by whom and when. Where to accept a newer
// one is the page of one's account.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h } from "../page/dom";
import { keeping } from "../page/fragment";
import { isPassing, noticeOf } from "../page/notice";
import { moment } from "../page/time";
import { failureOf } from "../sdk/failure";
import { type Acceptance, type Agreement, agreement } from "../sdk/rules";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.agreement;

export class AgreementRecord extends HTMLElement {
  readonly #problem = problemBox();
  readonly #body = h("div");

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.className = "panel agreement-record";
    this.append(h("h2", { id: "agreement-record-title" }, words.title), this.#problem, this.#body);
    void this.#load();
  }

  async #load(): Promise<void> {
    this.#problem.clear();
    this.#body.replaceChildren(h("p", { class: "loading" }, words.loading));
    try {
      this.#show(await agreement(api));
    } catch (thrown) {
      const failure = failureOf(thrown);
      this.#body.replaceChildren();
      if (failure.kind === "signed-out") document.dispatchEvent(new Event(SIGNED_OUT));
      else this.#problem.show(noticeOf(failure), { retry: isPassing(failure) ? () => void this.#load() : undefined, focus: "elsewhere" });
    }
  }

  #show({ acceptances, outdated }: Agreement): void {
    const newer = h("p", { class: "note quiet-note" }, words.outdated, " ", h("a", { href: keeping("/account") }, words.read));
    this.#body.replaceChildren(
      ...(outdated ? [newer] : []),
      h("ul", { class: "approval-list", "aria-labelledby": "agreement-record-title" }, ...acceptances.map(accepted)),
    );
  }
}

function accepted({ person, accepted_at: at, sha256 }: Acceptance): HTMLElement {
  return h("li", { class: "accepted" }, h("p", {}, words.by, " ", h("strong", {}, person), ", ", moment(at)), h("p", { class: "agreement-hash" }, words.hashOf, " ", h("code", {}, sha256)));
}

customElements.define("conclave-agreement-record", AgreementRecord);

export function agreementRecord(): AgreementRecord {
  return document.createElement("conclave-agreement-record") as AgreementRecord;
}
