// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-setup-scope>: the setup code, and the names and networks that the root will be bound to.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import type { Root, SetupFacts } from "../sdk/types";
import { problemBox } from "./problem";
import { textField } from "./text-field";

const words = text.setup.scope;

const list = (typed: string): string[] => typed.split(/[\s,;]+/).filter((part) => part !== "");

export class SetupScope extends HTMLElement {
  readonly #code = textField({ id: "setup-code", label: words.code, autocomplete: "one-time-code", hint: words.codeHint, verbatim: true });
  readonly #names = textField({ id: "names", label: words.names, autocomplete: "off", hint: words.namesHint, verbatim: true, optional: true });
  readonly #networks = textField({ id: "networks", label: words.networks, autocomplete: "off", hint: words.networksHint, verbatim: true, optional: true });
  readonly #problem = problemBox();
  readonly #submit = h("button", { type: "submit", class: "primary" }, text.setup.next);
  #done: (root: Root) => void = () => undefined;

  fill(done: (root: Root) => void): this {
    this.#done = done;
    this.className = "panel";
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "scope-title" },
      this.#code,
      this.#names,
      this.#networks,
      h("p", { class: "field-hint" }, words.bound),
      this.#submit,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#submit)) void this.#fix();
    });
    this.append(
      h("h2", { id: "scope-title", tabindex: "-1" }, words.title),
      h("p", { class: "note" }, words.certificate),
      this.#problem,
      form,
    );
    return this;
  }

  get code(): string {
    return this.#code.value.trim();
  }

  /** What the appliance thinks of its own names; what somebody typed already stays. */
  propose(facts: SetupFacts): void {
    const known = facts.root ?? facts;
    if (this.#names.value === "") this.#names.value = known.names.join(" ");
    if (this.#networks.value === "") this.#networks.value = known.networks.join(" ");
    if (facts.tries_left === 0) this.#code.complain(words.codeVoid);
  }

  begin(): void {
    this.#code.focus();
  }

  async #fix(): Promise<void> {
    this.#problem.clear();
    const [names, networks] = [list(this.#names.value), list(this.#networks.value)];
    const faults = [
      ...(this.code === "" ? [{ field: this.#code, message: words.missing.code }] : []),
      ...(names.length + networks.length === 0 ? [{ field: this.#names, message: words.missing.scope }] : []),
    ];
    if (this.#problem.complain(faults)) return;
    this.#submit.textContent = text.setup.working;
    setBusy(this.#submit, true);
    try {
      this.#done(await api.fixScope(this.code, names, networks));
    } catch (thrown) {
      const failure = failureOf(thrown);
      this.#problem.show(noticeOf(failure));
      if (failure.kind === "refused" && failure.problem.code.startsWith("setup-code")) {
        this.#code.complain(failure.problem.detail);
      }
    }
    this.#submit.textContent = text.setup.next;
    setBusy(this.#submit, false);
  }
}

customElements.define("conclave-setup-scope", SetupScope);

export function setupScope(done: (root: Root) => void): SetupScope {
  return (document.createElement("conclave-setup-scope") as SetupScope).fill(done);
}
