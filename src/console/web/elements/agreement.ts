// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-agreement>: the data processing agreement to read and accept, for who may; in its place for the others,
// that it has to be accepted first. Rooms stand here once it is.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import { type Agreement, acceptAgreement, agreement } from "../sdk/rules";
import { checkField } from "./check-field";
import { problemBox } from "./problem";
import { roomList } from "./room-list";
import { SIGNED_OUT } from "./sign-out";

const words = text.agreement;

export class AgreementPanel extends HTMLElement {
  readonly #problem = problemBox();
  readonly #text = h("div", { class: "agreement-text", role: "region", tabindex: "0", "aria-label": words.label });
  readonly #hash = h("code");
  readonly #accept = checkField({ id: "agreement-accept", label: words.accept, look: "box" });
  readonly #submit = h("button", { type: "submit", class: "primary" }, words.submit);
  #found: Agreement | undefined;
  #which: "first" | "newer" = "first";

  fill(found: Agreement, which: "first" | "newer"): this {
    this.className = "panel agreement";
    this.#which = which;
    const form = h("form", { method: "post", novalidate: true, "aria-labelledby": "agreement-title" }, this.#accept, this.#submit);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#submit)) void this.#send();
    });
    this.append(
      h("h2", { id: "agreement-title", tabindex: "-1" }, words.title),
      h("p", { class: "lead" }, which === "first" ? words.lead : words.leadNewer),
      this.#problem,
      this.#text,
      h("p", { class: "agreement-hash" }, h("span", {}, words.hash), " ", this.#hash),
      form,
    );
    this.#show(found);
    return this;
  }

  #show(found: Agreement): void {
    this.#found = found;
    this.#hash.textContent = found.sha256;
    this.#text.replaceChildren(...paragraphs(found.text));
    this.#text.scrollTop = 0;
  }

  async #send(): Promise<void> {
    this.#problem.clear();
    if (!this.#accept.checked || this.#found === undefined) {
      this.#accept.complain(words.missing);
      this.#accept.focus();
      return;
    }
    setBusy(this.#submit, true);
    this.#submit.textContent = words.working;
    try {
      await acceptAgreement(api, this.#found.sha256);
      this.#done();
    } catch (thrown) {
      await this.#refused(thrown);
    }
  }

  /** What was accepted makes way for what it opens. */
  #done(): void {
    const first = this.#which === "first";
    const said = h("p", { class: "note", role: "status", tabindex: "-1" }, first ? words.done : words.doneNewer);
    this.replaceWith(said, ...(first ? [roomList()] : []));
    said.focus();
  }

  async #refused(thrown: unknown): Promise<void> {
    const failure = failureOf(thrown);
    this.#submit.textContent = words.submit;
    setBusy(this.#submit, false);
    if (failure.kind === "signed-out") {
      document.dispatchEvent(new Event(SIGNED_OUT));
      return;
    }
    if (failure.kind === "refused" && failure.problem.code === "agreement-changed") {
      // Another text is to be read first, so the tick for the one before is taken back.
      this.#accept.checked = false;
      await agreement(api).then((found) => this.#show(found), () => undefined);
    }
    this.#problem.show(noticeOf(failure));
  }
}

/** Blocks between empty lines: the first is its title; what begins with a number hangs on it. */
function paragraphs(whole: string): HTMLElement[] {
  const blocks = whole.split(/\r?\n\s*\r?\n/).map((block) => block.trim()).filter((block) => block !== "");
  return blocks.map((block, index) => {
    if (index === 0 && blocks.length > 1) return h("p", { class: "agreement-head" }, block);
    const [, number, clause] = /^(\d+\.)\s+([^]*)$/.exec(block) ?? [];
    if (number === undefined || clause === undefined) return h("p", {}, block);
    return h("p", { class: "agreement-clause" }, h("span", {}, number), " ", h("span", {}, clause));
  });
}

customElements.define("conclave-agreement", AgreementPanel);

export function agreementPanel(found: Agreement, which: "first" | "newer"): AgreementPanel {
  return (document.createElement("conclave-agreement") as AgreementPanel).fill(found, which);
}

/** For who cannot accept it. */
export function agreementWait(again: () => void): HTMLElement {
  const button = h("button", { type: "button", class: "quiet" }, words.again);
  button.addEventListener("click", again);
  return h(
    "section",
    { class: "panel agreement-wait", "aria-labelledby": "agreement-wait-title" },
    h("h2", { id: "agreement-wait-title" }, words.waiting),
    h("p", {}, words.waitingDetail),
    h("p", { class: "muted" }, words.waitingWayOut),
    button,
  );
}
