// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-problem>: says what went wrong and what to do next; announced, and focused unless the reader
// is better off elsewhere.

import { text } from "../lang/index";
import { h } from "../page/dom";
import type { Notice } from "../page/notice";
import type { TextField } from "./text-field";

/** What is wrong with a field. */
export interface Fault {
  readonly field: TextField;
  readonly message: string;
}

interface ShowOptions {
  readonly retry?: (() => void) | undefined;
  readonly focus?: "here" | "elsewhere";
}

export class ProblemBox extends HTMLElement {
  readonly #box = h("div", { class: "problem", role: "alert", tabindex: "-1" });

  connectedCallback(): void {
    if (this.#box.parentNode === null) this.append(this.#box);
    if (this.#box.childNodes.length === 0) this.hidden = true;
  }

  show(notice: Notice, { retry, focus = "here" }: ShowOptions = {}): void {
    const parts: Node[] = [h("p", { class: "problem-title" }, notice.title)];
    if (notice.detail !== "") parts.push(h("p", {}, notice.detail));
    if (notice.wayOut !== "") parts.push(h("p", { class: "problem-way-out" }, notice.wayOut));
    if (notice.requestId !== "") parts.push(h("p", { class: "problem-request" }, text.notice.request(notice.requestId)));
    if (retry !== undefined) {
      const button = h("button", { type: "button", class: "quiet" }, text.notice.retry);
      button.addEventListener("click", retry);
      parts.push(button);
    }
    this.#open(parts, focus);
  }

  /** Has each field say what is wrong with it, and all of it here; says whether anything is. */
  complain(faults: readonly Fault[]): boolean {
    for (const { field, message } of faults) field.complain(message);
    if (faults.length > 0) this.showFields(faults);
    return faults.length > 0;
  }

  /** What is missing from a form, each with a link to its field. */
  showFields(faults: readonly Fault[]): void {
    const links = faults.map(({ field, message }) => {
      const link = h("a", { href: `#${field.input.id}` }, message);
      link.addEventListener("click", (event) => {
        // The fragment of the address holds the pin of an invitation and must stay.
        event.preventDefault();
        field.focus();
      });
      return h("li", {}, link);
    });
    this.#open([h("p", { class: "problem-title" }, text.field.check), h("ul", {}, ...links)], "here");
  }

  clear(): void {
    this.hidden = true;
    this.#box.replaceChildren();
  }

  #open(parts: readonly Node[], focus: "here" | "elsewhere"): void {
    this.hidden = false;
    this.#box.replaceChildren(...parts);
    if (focus === "here") this.#box.focus();
  }
}

customElements.define("conclave-problem", ProblemBox);

export function problemBox(): ProblemBox {
  return document.createElement("conclave-problem") as ProblemBox;
}
