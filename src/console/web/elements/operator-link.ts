// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-operator-link>: the link in the foot of every page to who runs this, by name once that is known.

import { text } from "../lang/index";
import { api, prepare } from "../page/context";
import { keeping, readFragment } from "../page/fragment";
import { operator } from "../sdk/rules";

/** Sent on the document when an operator changed who runs this. */
export const OPERATOR_CHANGED = "conclave-operator-changed";

export class OperatorLink extends HTMLElement {
  connectedCallback(): void {
    this.querySelector("a")?.setAttribute("href", keeping("/operator"));
    document.addEventListener(OPERATOR_CHANGED, () => void this.#name());
    void this.#name();
  }

  async #name(): Promise<void> {
    const link = this.querySelector("a");
    try {
      // With a pin, who answers here is settled first: another appliance is given no name on this page.
      if (readFragment().pin !== null) await prepare();
      const { name } = (await operator(api)).operator;
      if (link !== null) link.textContent = name === "" ? text.footer.operator : text.operator.runBy(name);
    } catch {
      // The page itself says what is wrong; the link still leads where it says.
    }
  }
}

customElements.define("conclave-operator-link", OperatorLink);
