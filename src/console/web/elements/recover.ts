// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-recover>: sets an operator's password by a one-time link. The token leaves the address bar as soon as it
// is read, so that it is in no history and no picture of the screen.

import { text, titlePage } from "../lang/index";
import { api, prepare } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import { newPasswordFaults } from "./new-password";
import { passwordField } from "./password-field";
import { problemBox } from "./problem";

const words = text.recover;

export class Recover extends HTMLElement {
  readonly #next = passwordField({ id: "new-password", label: words.next, autocomplete: "new-password" });
  readonly #repeat = passwordField({ id: "repeat-password", label: words.repeat, autocomplete: "new-password" });
  readonly #problem = problemBox();
  readonly #submit = h("button", { type: "submit", class: "primary" }, words.submit);
  #token = "";

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    titlePage(words.title);
    this.#token = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    const title = h("h1", { id: "recover-title", tabindex: "-1" }, words.title);
    if (this.#token === "") {
      this.append(title, this.#problem);
      this.#problem.show({ ...words.noLink, requestId: "" });
      return;
    }
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": title.id },
      this.#next,
      this.#repeat,
      this.#submit,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#submit)) void this.#recover();
    });
    this.append(title, h("p", { class: "lead" }, words.lead), this.#problem, form);
    this.#next.focus();
  }

  async #recover(): Promise<void> {
    this.#problem.clear();
    if (!this.#isComplete()) return;
    this.#submit.textContent = words.working;
    setBusy(this.#submit, true);
    try {
      await prepare();
      const user = await api.recover(this.#token, this.#next.value);
      this.#next.clear();
      this.#repeat.clear();
      const said = h("h1", { tabindex: "-1" }, words.done(user));
      this.replaceChildren(said, h("p", {}, h("a", { href: "/#workspace=system" }, words.signIn)));
      said.focus();
    } catch (thrown) {
      this.#submit.textContent = words.submit;
      setBusy(this.#submit, false);
      this.#problem.show(noticeOf(failureOf(thrown)));
    }
  }

  #isComplete(): boolean {
    return !this.#problem.complain(newPasswordFaults({ next: this.#next, repeat: this.#repeat, missing: words.missing }));
  }
}

customElements.define("conclave-recover", Recover);
