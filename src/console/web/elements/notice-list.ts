// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-notice-list>: which recovery links were made, for every operator to see.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h } from "../page/dom";
import { noticeOf } from "../page/notice";
import { moment } from "../page/time";
import { failureOf } from "../sdk/failure";
import type { Recovery } from "../sdk/types";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.notices;

export class NoticeList extends HTMLElement {
  readonly #problem = problemBox();
  readonly #body = h("div");

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.className = "panel";
    this.append(h("h2", {}, words.title), h("p", { class: "lead" }, words.lead), this.#problem, this.#body);
    void this.#load();
  }

  async #load(): Promise<void> {
    try {
      const recoveries = await api.recoveries();
      this.#body.replaceChildren(
        recoveries.length === 0 ? h("p", { class: "empty" }, words.none) : h("ul", { class: "notice-list" }, ...recoveries.map(item)),
      );
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind === "signed-out") document.dispatchEvent(new Event(SIGNED_OUT));
      else this.#problem.show(noticeOf(failure), { focus: "elsewhere" });
    }
  }
}

function item(recovery: Recovery): HTMLElement {
  const used = recovery.used_at === undefined ? [words.unused] : [`${words.used} `, moment(recovery.used_at)];
  return h("li", {}, `${words.made(recovery.user_name)} `, moment(recovery.asked_at), ". ", h("span", { class: "state" }, ...used));
}

customElements.define("conclave-notice-list", NoticeList);

export function noticeList(): NoticeList {
  return document.createElement("conclave-notice-list") as NoticeList;
}
