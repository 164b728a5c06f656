// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-setup-operator>: who runs the appliance. Which password is good enough is the appliance's to say.

import { text } from "../lang/index";
import { h } from "../page/dom";
import { passwordField } from "./password-field";
import { problemBox } from "./problem";
import { textField } from "./text-field";

const words = text.setup.operator;

export class SetupOperator extends HTMLElement {
  readonly #userName = textField({ id: "username", label: words.userName, autocomplete: "username", verbatim: true });
  readonly #displayName = textField({ id: "display-name", label: words.displayName, autocomplete: "name", hint: words.displayNameHint, optional: true });
  readonly #password = passwordField({ id: "password", label: words.password, autocomplete: "new-password" });
  readonly #repeat = passwordField({ id: "repeat-password", label: words.repeat, autocomplete: "new-password" });
  readonly #problem = problemBox();

  fill(next: () => void, back: () => void): this {
    this.className = "panel";
    const returns = h("button", { type: "button", class: "quiet" }, text.setup.back);
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "operator-title" },
      this.#userName,
      this.#displayName,
      this.#password,
      this.#repeat,
      h("p", { class: "field-hint" }, words.sealed),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, text.setup.next), returns),
    );
    returns.addEventListener("click", back);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#problem.clear();
      if (this.#isComplete()) next();
    });
    this.append(
      h("h2", { id: "operator-title", tabindex: "-1" }, words.title),
      h("p", { class: "lead" }, words.lead),
      this.#problem,
      form,
    );
    return this;
  }

  get userName(): string {
    return this.#userName.value.trim();
  }

  get displayName(): string {
    return this.#displayName.value.trim() || this.userName;
  }

  get password(): string {
    return this.#password.value;
  }

  forget(): void {
    this.#password.clear();
    this.#repeat.clear();
  }

  #isComplete(): boolean {
    const faults = [
      { field: this.#userName, value: this.userName, message: words.missing.userName },
      { field: this.#password, value: this.password, message: words.missing.password },
      { field: this.#repeat, value: this.#repeat.value, message: words.missing.repeat },
    ].filter(({ value }) => value === "");
    if (faults.length === 0 && this.password !== this.#repeat.value) {
      faults.push({ field: this.#repeat, value: "", message: words.missing.differ });
    }
    return !this.#problem.complain(faults);
  }
}

customElements.define("conclave-setup-operator", SetupOperator);

export function setupOperator(next: () => void, back: () => void): SetupOperator {
  return (document.createElement("conclave-setup-operator") as SetupOperator).fill(next, back);
}
