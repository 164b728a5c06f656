// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-check-field>: something to agree with, or to turn on and off, and what it means.

import { h } from "../page/dom";

interface Options {
  readonly id: string;
  readonly label: string;
  readonly hint?: string;
  /** A box is sent with its form; a switch stands for a state. */
  readonly look: "box" | "switch";
}

export class CheckField extends HTMLElement {
  readonly input = h("input", { type: "checkbox" });
  /** Where more can be said about it. */
  readonly more = h("div", { class: "tick-more" });
  readonly #error = h("p", { class: "field-error", hidden: true });

  fill({ id, label, hint, look }: Options): this {
    this.className = look === "switch" ? "tick switch" : "tick";
    this.input.id = id;
    this.input.name = id;
    if (look === "switch") this.input.setAttribute("role", "switch");
    this.#error.id = `${id}-error`;
    const hintNode = hint === undefined ? null : h("p", { class: "field-hint", id: `${id}-hint` }, hint);
    this.input.setAttribute("aria-describedby", hintNode === null ? this.#error.id : `${hintNode.id} ${this.#error.id}`);
    this.input.addEventListener("change", () => this.complain(null));
    this.append(this.input, h("div", { class: "tick-words" }, h("label", { for: id }, label), hintNode, this.#error, this.more));
    return this;
  }

  get checked(): boolean {
    return this.input.checked;
  }

  set checked(checked: boolean) {
    this.input.checked = checked;
  }

  override focus(): void {
    this.input.focus();
  }

  complain(message: string | null): void {
    this.#error.hidden = message === null;
    this.#error.textContent = message ?? "";
    if (message === null) this.input.removeAttribute("aria-invalid");
    else this.input.setAttribute("aria-invalid", "true");
  }
}

customElements.define("conclave-check-field", CheckField);

export function checkField(options: Options): CheckField {
  return (document.createElement("conclave-check-field") as CheckField).fill(options);
}
