// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-sign-out>: the button in the bar. Shown once it is known that somebody is signed in.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { go } from "../page/fragment";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import type { ProblemBox } from "./problem";

/** Sent on the document by any part that finds the session ended. */
export const SIGNED_OUT = "conclave-signed-out";

export class SignOut extends HTMLElement {
  readonly #button = h("button", { type: "button", class: "quiet" }, text.account.signOut);
  #problem: ProblemBox | null = null;

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.#button.hidden = true;
    this.#button.addEventListener("click", () => {
      if (!isBusy(this.#button)) void this.#signOut();
    });
    this.append(this.#button);
  }

  /** Somebody is signing out here: that the session ends is no news. */
  get signingOut(): boolean {
    return isBusy(this.#button);
  }

  /** `problem` is where the page says what went wrong. */
  reveal(problem: ProblemBox): void {
    this.#problem = problem;
    this.#button.hidden = false;
  }

  async #signOut(): Promise<void> {
    setBusy(this.#button, true);
    this.#button.textContent = text.account.signingOut;
    try {
      await api.signOut();
      go("/", "signed-out");
    } catch (thrown) {
      this.#button.textContent = text.account.signOut;
      setBusy(this.#button, false);
      this.#problem?.show(noticeOf(failureOf(thrown)), { retry: () => void this.#signOut() });
    }
  }
}

customElements.define("conclave-sign-out", SignOut);
