// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-agreement-notice>: there is a newer agreement; it opens to be read and accepted in place.

import { text } from "../lang/index";
import { h } from "../page/dom";
import type { Agreement } from "../sdk/rules";
import { agreementPanel } from "./agreement";

const words = text.agreement;

export class AgreementNotice extends HTMLElement {
  fill(found: Agreement): this {
    this.className = "note agreement-notice";
    const button = h("button", { type: "button", class: "quiet" }, words.read);
    button.addEventListener("click", () => {
      const panel = agreementPanel(found, "newer");
      this.replaceWith(panel);
      panel.querySelector("h2")?.focus();
    });
    this.append(h("p", {}, words.outdated), button);
    return this;
  }
}

customElements.define("conclave-agreement-notice", AgreementNotice);

export function agreementNotice(found: Agreement): AgreementNotice {
  return (document.createElement("conclave-agreement-notice") as AgreementNotice).fill(found);
}
