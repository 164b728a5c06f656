// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-session-end-all>: ends every other session, after asking once in place.

import { text } from "../lang/index";
import { h, isBusy, setBusy } from "../page/dom";

const words = text.sessions;

export class SessionEndAll extends HTMLElement {
  readonly #ask = h("button", { type: "button", class: "quiet" }, words.endOthers);
  #count = 0;
  #work: () => Promise<void> = async () => undefined;

  fill(count: number, work: () => Promise<void>): this {
    this.className = "end-all";
    this.#count = count;
    this.#work = work;
    this.#ask.addEventListener("click", () => this.#confirm());
    this.append(this.#ask);
    return this;
  }

  #confirm(): void {
    const question = h("span", { id: "end-all-question" }, words.confirm(this.#count));
    const yes = h("button", { type: "button", class: "danger", "aria-describedby": question.id }, words.confirmYes);
    const no = h("button", { type: "button", class: "quiet" }, words.confirmNo);
    const giveUp = (): void => {
      this.replaceChildren(this.#ask);
      this.#ask.focus();
    };
    no.addEventListener("click", giveUp);
    yes.addEventListener("click", () => {
      if (isBusy(yes)) return;
      setBusy(yes, true);
      no.hidden = true;
      yes.textContent = words.ending;
      void this.#work();
    });
    const group = h("div", { role: "group", "aria-labelledby": question.id }, question, yes, no);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !isBusy(yes)) giveUp();
    });
    this.replaceChildren(group);
    // The harmless answer has the focus, so that a double press ends nothing.
    no.focus();
  }
}

customElements.define("conclave-session-end-all", SessionEndAll);

export function sessionEndAll(count: number, work: () => Promise<void>): SessionEndAll {
  return (document.createElement("conclave-session-end-all") as SessionEndAll).fill(count, work);
}
