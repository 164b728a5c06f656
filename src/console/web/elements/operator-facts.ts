// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-operator-facts>: who runs this, for everybody. What was not said is said to be so.

import { text } from "../lang/index";
import { h } from "../page/dom";
import type { Operator } from "../sdk/rules";

const words = text.operator;

export class OperatorFacts extends HTMLElement {
  fill({ operator, supervisory_authority: authority, residency }: Operator): this {
    this.className = "panel operator-facts";
    this.append(
      h("h2", { class: "operator-name" }, operator.name || words.nobody),
      h(
        "dl",
        { class: "operator-pairs" },
        fact(words.address, operator.address),
        fact(words.contact, operator.contact),
        fact(words.privacy, operator.privacy_contact),
        fact(words.residency, residency),
        h("div", {}, h("dt", {}, words.authority), h("dd", {}, authorityLink(authority.name, authority.website)), h("dd", { class: "muted" }, words.authorityLead)),
      ),
    );
    return this;
  }
}

function fact(name: string, value: string): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", value === "" ? { class: "muted" } : {}, value || words.unsaid));
}

/** Leads off this appliance, without telling there where from. */
function authorityLink(name: string, website: string): Node {
  return website.startsWith("https://") ? h("a", { href: website, rel: "external noreferrer" }, name) : h("span", {}, name);
}

customElements.define("conclave-operator-facts", OperatorFacts);

export function operatorFacts(operator: Operator): OperatorFacts {
  return (document.createElement("conclave-operator-facts") as OperatorFacts).fill(operator);
}
