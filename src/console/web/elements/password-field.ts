// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-password-field>: a text field whose value is hidden until asked for.

import { text } from "../lang/index";
import { h } from "../page/dom";
import { type FieldOptions, TextField } from "./text-field";

export class PasswordField extends TextField {
  readonly #toggle = h("button", { type: "button", class: "toggle", "aria-pressed": "false" }, text.field.show);

  protected override control(): HTMLElement {
    this.input.type = "password";
    this.input.spellcheck = false;
    this.#toggle.setAttribute("aria-controls", this.input.id);
    this.#toggle.setAttribute("aria-label", text.field.showLabel(this.label));
    this.#toggle.addEventListener("click", () => this.reveal(this.input.type === "password"));
    return h("div", { class: "with-toggle" }, this.input, this.#toggle);
  }

  /** The label of the toggle stays and its pressed state changes, so that it is announced once and rightly. */
  reveal(shown: boolean): void {
    this.input.type = shown ? "text" : "password";
    this.#toggle.setAttribute("aria-pressed", String(shown));
    this.#toggle.textContent = shown ? text.field.hide : text.field.show;
  }

  clear(): void {
    this.value = "";
    this.reveal(false);
  }
}

customElements.define("conclave-password-field", PasswordField);

export function passwordField(options: FieldOptions): PasswordField {
  return (document.createElement("conclave-password-field") as PasswordField).fill(options) as PasswordField;
}
