// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-profile>: who is signed in.

import { text } from "../lang/index";
import { h } from "../page/dom";
import type { Account } from "../sdk/types";

const words = text.account;

export class Profile extends HTMLElement {
  fill(account: Account): this {
    this.className = "profile";
    const role = words.roles[account.role.toLowerCase().replace(/[ _]/g, "-")] ?? account.role;
    const status = words.statuses[account.status] ?? account.status;
    this.append(
      h("div", { class: "initials", "aria-hidden": "true" }, initials(account.display_name || account.user_name)),
      h("h2", { class: "display-name" }, account.display_name || account.user_name),
      h(
        "dl",
        { class: "facts" },
        fact(words.userName, account.user_name),
        fact(words.workspace, account.workspace.name),
        fact(words.role, role),
        fact(words.status, h("span", { class: account.status === "active" ? "state good" : "state" }, status)),
      ),
    );
    return this;
  }
}

function fact(name: string, value: string | Node): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** The first letters of the first and last word, as a person would sign. */
function initials(name: string): string {
  const all = name.trim().split(/\s+/);
  const ends = all.length > 1 ? [all[0], all[all.length - 1]] : [all[0]];
  return ends.map((word) => Array.from(word ?? "")[0] ?? "").join("").toLocaleUpperCase();
}

customElements.define("conclave-profile", Profile);

export function profile(account: Account): Profile {
  return (document.createElement("conclave-profile") as Profile).fill(account);
}
