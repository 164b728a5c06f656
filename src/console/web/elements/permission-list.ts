// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-permission-list>: what the account may do, in plain words beside the name that policies use.

import { text } from "../lang/index";
import { h } from "../page/dom";

const words = text.permissions;

export class PermissionList extends HTMLElement {
  fill(permissions: readonly string[], byHand: readonly string[]): this {
    this.className = "panel permissions";
    const items = permissions.map((id) => {
      const name = h("span", { class: "permission-name" }, words.names[id] ?? words.unnamed);
      const given = byHand.includes(id) ? [" ", h("span", { class: "state" }, words.byHand)] : [];
      return h("li", {}, name, " ", h("code", {}, id), ...given);
    });
    this.append(
      h("h2", {}, words.title),
      h("p", { class: "lead" }, words.lead),
      items.length === 0 ? h("p", { class: "empty" }, words.empty) : h("ul", { class: "permission-list" }, ...items),
    );
    return this;
  }
}

customElements.define("conclave-permission-list", PermissionList);

export function permissionList(permissions: readonly string[], byHand: readonly string[]): PermissionList {
  return (document.createElement("conclave-permission-list") as PermissionList).fill(permissions, byHand);
}
