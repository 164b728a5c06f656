// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-appliance>: who answers at this address, as a fingerprint to compare with the printed one.

import { text } from "../lang/index";
import { h } from "../page/dom";
import { type Notice } from "../page/notice";
import { type Offer, spellFingerprint } from "../sdk/offer";

export class Appliance extends HTMLElement {
  readonly #body = h("div", { class: "appliance-body" });

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.append(h("h2", {}, text.appliance.title), this.#body);
    this.loading();
  }

  loading(): void {
    this.#body.setAttribute("aria-busy", "true");
    this.#body.replaceChildren(h("p", { class: "muted" }, text.appliance.loading));
  }

  show(offer: Offer, pinned: "pinned" | "unpinned"): void {
    const spelled = spellFingerprint(offer.fingerprint).split(" ");
    this.#body.removeAttribute("aria-busy");
    this.#body.replaceChildren(
      h("p", { class: "muted" }, text.appliance.fingerprint),
      // Real spaces between the groups, so that a copy of it reads as it was printed.
      h("p", { class: "fingerprint" }, ...spelled.flatMap((group) => [h("span", {}, group), " "])),
      h("p", pinned === "pinned" ? { class: "pinned" } : { class: "muted" }, pinned === "pinned" ? text.appliance.pinned : text.appliance.compare),
    );
  }

  fail(notice: Notice, retry: (() => void) | undefined): void {
    this.#body.removeAttribute("aria-busy");
    this.#body.replaceChildren(h("p", {}, text.appliance.unknown), h("p", { class: "muted" }, notice.title));
    if (retry === undefined) return;
    const button = h("button", { type: "button", class: "quiet" }, text.notice.retry);
    button.addEventListener("click", retry);
    this.#body.append(button);
  }
}

customElements.define("conclave-appliance", Appliance);
