// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-text-field>: a label, an input, a hint, and what is wrong with the value. It keeps what was
// typed whatever happens around it.

import { h } from "../page/dom";

export interface FieldOptions {
  readonly id: string;
  readonly label: string;
  readonly autocomplete: string;
  readonly hint?: string;
  readonly maxlength?: string;
  /** User and workspace names: no capital letter and no correction put in by a phone. */
  readonly verbatim?: boolean;
  readonly optional?: boolean;
}

export class TextField extends HTMLElement {
  readonly input = h("input");
  readonly #error = h("p", { class: "field-error", hidden: true });
  label = "";

  fill(options: FieldOptions): this {
    const { id, label, hint } = options;
    this.label = label;
    this.className = "field";
    this.input.id = id;
    this.input.name = id;
    this.input.type = "text";
    this.input.required = options.optional !== true;
    this.input.setAttribute("autocomplete", options.autocomplete);
    if (options.maxlength !== undefined) this.input.setAttribute("maxlength", options.maxlength);
    if (options.verbatim === true) {
      this.input.setAttribute("autocapitalize", "none");
      this.input.setAttribute("autocorrect", "off");
      this.input.spellcheck = false;
    }
    this.#error.id = `${id}-error`;
    const hintNode = hint === undefined ? null : h("p", { class: "field-hint", id: `${id}-hint` }, hint);
    if (hintNode !== null) this.input.setAttribute("aria-describedby", hintNode.id);
    this.input.addEventListener("input", () => this.complain(null));
    this.append(h("label", { for: id }, label), this.control(), ...(hintNode === null ? [] : [hintNode]), this.#error);
    return this;
  }

  get value(): string {
    return this.input.value;
  }

  set value(value: string) {
    this.input.value = value;
  }

  override focus(): void {
    this.input.focus();
  }

  complain(message: string | null): void {
    this.#error.hidden = message === null;
    this.#error.textContent = message ?? "";
    if (message === null) this.input.removeAttribute("aria-invalid");
    else this.input.setAttribute("aria-invalid", "true");
    const described = (this.input.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id !== "" && id !== this.#error.id);
    if (message !== null) described.push(this.#error.id);
    if (described.length === 0) this.input.removeAttribute("aria-describedby");
    else this.input.setAttribute("aria-describedby", described.join(" "));
  }

  /** The input with whatever stands around it. */
  protected control(): HTMLElement {
    return this.input;
  }
}

customElements.define("conclave-text-field", TextField);

export function textField(options: FieldOptions): TextField {
  return (document.createElement("conclave-text-field") as TextField).fill(options);
}
