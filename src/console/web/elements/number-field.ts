// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-number-field>: a whole number with its unit. What is outside its bounds is complained about, never changed.

import { h } from "../page/dom";
import { type FieldOptions, TextField } from "./text-field";

interface Options extends FieldOptions {
  readonly unit: string;
  readonly least: number;
  readonly most: number;
}

export class NumberField extends TextField {
  #unit = "";
  least = 0;
  most = 0;

  number({ unit, least, most, ...options }: Options): this {
    this.#unit = unit;
    this.least = least;
    this.most = most;
    this.fill(options);
    this.classList.add("number");
    return this;
  }

  protected override control(): HTMLElement {
    // Not `type=number`: a wheel or an arrow key that changes a number unseen is no way to set a policy.
    this.input.setAttribute("inputmode", "numeric");
    this.input.setAttribute("maxlength", String(this.most).length.toString());
    const unit = h("span", { class: "unit", id: `${this.input.id}-unit` }, this.#unit);
    this.input.setAttribute("aria-describedby", `${unit.id} ${this.input.getAttribute("aria-describedby") ?? ""}`.trim());
    return h("div", { class: "with-unit" }, this.input, unit);
  }

  /** What was typed, when it is a whole number within the bounds. */
  get whole(): number | null {
    const typed = this.value.trim();
    const number = Number(typed);
    return /^\d+$/.test(typed) && number >= this.least && number <= this.most ? number : null;
  }
}

customElements.define("conclave-number-field", NumberField);

export function numberField(options: Options): NumberField {
  return (document.createElement("conclave-number-field") as NumberField).number(options);
}
