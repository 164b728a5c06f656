// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-setup-root>: the fingerprint of the root that was made, confirmed before anything is built on it.

import { text } from "../lang/index";
import { h } from "../page/dom";
import type { Root } from "../sdk/types";

const words = text.setup.root;

/** SHA-256 in groups of four digits, with real spaces, so that a copy of it reads as it is printed elsewhere. */
export function spelled(fingerprint: string): HTMLElement {
  const groups = fingerprint.toUpperCase().match(/.{1,4}/g) ?? [];
  return h("p", { class: "fingerprint" }, ...groups.flatMap((group) => [h("span", {}, group), " "]));
}

export class SetupRoot extends HTMLElement {
  fill(root: Root, next: () => void, back: () => void): this {
    this.className = "panel";
    const confirmed = h("input", { type: "checkbox", id: "root-confirmed", "aria-describedby": "root-error" });
    const error = h("p", { class: "field-error", id: "root-error", role: "alert", hidden: true }, words.missing);
    const submit = h("button", { type: "submit", class: "primary" }, text.setup.next);
    const returns = h("button", { type: "button", class: "quiet" }, text.setup.back);
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "root-title" },
      h("div", { class: "check" }, confirmed, h("label", { for: confirmed.id }, words.confirm)),
      error,
      h("div", { class: "actions" }, submit, returns),
    );
    confirmed.addEventListener("change", () => (error.hidden = true));
    returns.addEventListener("click", back);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (confirmed.checked) return next();
      error.hidden = false;
      confirmed.focus();
    });
    this.append(
      h("h2", { id: "root-title", tabindex: "-1" }, words.title),
      h("p", { class: "lead" }, words.lead),
      spelled(root.root_fingerprint),
      h("dl", { class: "facts one" }, h("div", {}, h("dt", {}, words.speaksFor), h("dd", {}, [...root.names, ...root.networks].join(", ")))),
      form,
    );
    return this;
  }
}

customElements.define("conclave-setup-root", SetupRoot);

export function setupRoot(root: Root, next: () => void, back: () => void): SetupRoot {
  return (document.createElement("conclave-setup-root") as SetupRoot).fill(root, next, back);
}
