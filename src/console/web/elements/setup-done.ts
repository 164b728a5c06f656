// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-setup-done>: the appliance is claimed, and what comes next.

import { text } from "../lang/index";
import { h } from "../page/dom";
import type { Claimed } from "../sdk/types";
import { spelled } from "./setup-root";

const words = text.setup.done;

export class SetupDone extends HTMLElement {
  fill({ operator, root_fingerprint: root, urls }: Claimed): this {
    this.className = "panel";
    const signIn = urls[0] ?? "/";
    this.append(
      h("h2", { tabindex: "-1" }, words.title),
      h("p", { class: "lead" }, words.lead),
      h(
        "ol",
        { class: "next" },
        h(
          "li",
          {},
          h("p", {}, words.trust),
          spelled(root),
          h("a", { href: "/api/v1/trust/root.pem" }, words.trustLink),
        ),
        h("li", {}, h("p", {}, words.signIn(operator.workspace.name, operator.user_name)), h("a", { href: signIn }, words.signInLink)),
        h("li", {}, h("p", {}, words.workspace), h("code", {}, "conclave workspace create NAME")),
      ),
    );
    return this;
  }
}

customElements.define("conclave-setup-done", SetupDone);

export function setupDone(claimed: Claimed): SetupDone {
  return (document.createElement("conclave-setup-done") as SetupDone).fill(claimed);
}
