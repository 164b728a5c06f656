// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-password-change>: the sealed change of one's own password. Which password is good enough is the
// appliance's to say; here only what is missing or differs is caught.

import { text } from "../lang/index";
import { api } from "../page/context";
import { countdown } from "../page/countdown";
import { h, isBusy, setBusy } from "../page/dom";
import { noticeOf } from "../page/notice";
import { type Failure, failureOf } from "../sdk/failure";
import type { Account } from "../sdk/types";
import { newPasswordFaults } from "./new-password";
import { passwordField } from "./password-field";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.password;

export class PasswordChange extends HTMLElement {
  readonly #current = passwordField({ id: "current-password", label: words.current, autocomplete: "current-password" });
  readonly #next = passwordField({ id: "new-password", label: words.next, autocomplete: "new-password" });
  readonly #repeat = passwordField({ id: "repeat-password", label: words.repeat, autocomplete: "new-password" });
  readonly #problem = problemBox();
  readonly #said = h("p", { class: "said", role: "status" });
  readonly #submit = h("button", { type: "submit", class: "primary" }, words.submit);

  fill(account: Account): this {
    this.className = "panel password-change";
    // Tells a password manager whose password changes; nobody else needs to see or reach it.
    const owner = h("input", {
      type: "text",
      name: "username",
      autocomplete: "username",
      value: account.user_name,
      readonly: true,
      hidden: true,
    });
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "password-title" },
      owner,
      this.#current,
      this.#next,
      this.#repeat,
      this.#submit,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#submit)) void this.#change();
    });
    this.append(
      h("h2", { id: "password-title" }, words.title),
      h("p", { class: "lead" }, words.lead),
      this.#problem,
      this.#said,
      form,
    );
    return this;
  }

  async #change(): Promise<void> {
    this.#problem.clear();
    this.#said.textContent = "";
    if (!this.#isComplete()) return;
    setBusy(this.#submit, true);
    this.#submit.textContent = words.working;
    try {
      await api.changePassword(this.#current.value, this.#next.value);
      for (const field of [this.#current, this.#next, this.#repeat]) field.clear();
      this.#submit.textContent = words.submit;
      setBusy(this.#submit, false);
      this.#said.textContent = words.changed;
      document.dispatchEvent(new Event("conclave-sessions-changed"));
    } catch (thrown) {
      this.#refused(failureOf(thrown));
    }
  }

  #isComplete(): boolean {
    const current = { field: this.#current, message: words.missing.current };
    const next = { next: this.#next, repeat: this.#repeat, missing: words.missing };
    return !this.#problem.complain(newPasswordFaults(next, [current]));
  }

  #refused(failure: Failure): void {
    this.#submit.textContent = words.submit;
    if (failure.kind === "signed-out") {
      document.dispatchEvent(new Event(SIGNED_OUT));
      return;
    }
    const wait = failure.kind === "refused" ? failure.retryAfter : null;
    if (wait !== null) void countdown(this.#submit, wait, words.submit);
    else setBusy(this.#submit, false);
    const wrong = failure.kind === "refused" && failure.problem.code === "current-password-wrong";
    this.#problem.show(noticeOf(failure), { focus: wrong ? "elsewhere" : "here" });
    if (!wrong) return;
    this.#current.clear();
    this.#current.focus();
  }
}

customElements.define("conclave-password-change", PasswordChange);

export function passwordChange(account: Account): PasswordChange {
  return (document.createElement("conclave-password-change") as PasswordChange).fill(account);
}
