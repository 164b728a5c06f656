// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-select-field>: one of several, and what it means.

import { h } from "../page/dom";

interface Options {
  readonly id: string;
  readonly label: string;
  readonly hint: string;
}

export class SelectField extends HTMLElement {
  readonly #select = h("select");

  fill({ id, label, hint }: Options): this {
    this.className = "field";
    this.#select.id = id;
    this.#select.setAttribute("aria-describedby", `${id}-hint`);
    this.append(h("label", { for: id }, label), this.#select, h("p", { class: "field-hint", id: `${id}-hint` }, hint));
    return this;
  }

  offer(choices: readonly { readonly value: string; readonly label: string }[]): void {
    this.#select.replaceChildren(...choices.map(({ value, label }) => h("option", { value }, label)));
  }

  get value(): string {
    return this.#select.value;
  }

  set value(value: string) {
    this.#select.value = value;
  }
}

customElements.define("conclave-select-field", SelectField);

export function selectField(options: Options): SelectField {
  return (document.createElement("conclave-select-field") as SelectField).fill(options);
}
