// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-confirm>: a button that asks once, in place, before it does what cannot be undone by pressing again.

import { h, isBusy, setBusy } from "../page/dom";

interface Options {
  readonly id: string;
  readonly label: string;
  /** What a screen reader says of the button, when its label alone does not tell it from others. */
  readonly longLabel?: string;
  readonly question: string;
  readonly yes: string;
  readonly no: string;
  readonly busy: string;
  /** Whether it takes something away. */
  readonly kind: "danger" | "primary";
  readonly work: () => Promise<void>;
}

export class Confirm extends HTMLElement {
  readonly #ask = h("button", { type: "button", class: "quiet" });

  fill(options: Options): this {
    this.#ask.textContent = options.label;
    if (options.longLabel !== undefined) this.#ask.setAttribute("aria-label", options.longLabel);
    this.#ask.addEventListener("click", () => this.#confirm(options));
    this.append(this.#ask);
    return this;
  }

  #confirm({ id, question: words, yes: yesLabel, no: noLabel, busy, kind, work }: Options): void {
    const question = h("span", { id: `${id}-question` }, words);
    const yes = h("button", { type: "button", class: kind, "aria-describedby": question.id }, yesLabel);
    const no = h("button", { type: "button", class: "quiet" }, noLabel);
    const giveUp = (): void => {
      this.replaceChildren(this.#ask);
      this.#ask.focus();
    };
    no.addEventListener("click", giveUp);
    yes.addEventListener("click", () => {
      if (isBusy(yes)) return;
      setBusy(yes, true);
      no.hidden = true;
      yes.textContent = busy;
      // Whoever did the work says how it went, and puts the focus there.
      void work().finally(() => this.replaceChildren(this.#ask));
    });
    const group = h("div", { role: "group", "aria-labelledby": question.id }, question, yes, no);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !isBusy(yes)) giveUp();
    });
    this.replaceChildren(group);
    // The harmless answer has the focus, so that a double press does nothing.
    no.focus();
  }
}

customElements.define("conclave-confirm", Confirm);

export function confirm(options: Options): Confirm {
  return (document.createElement("conclave-confirm") as Confirm).fill(options);
}
