// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-account>: "my account" as a whole. Before the agreement for the workspace is accepted, that stands where
// its rooms would be.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h } from "../page/dom";
import { moment } from "../page/time";
import { isOfSystem, mayChangePolicy } from "../page/rights";
import { type Agreement, agreement } from "../sdk/rules";
import type { Account } from "../sdk/types";
import { agreementPanel, agreementWait } from "./agreement";
import { agreementNotice } from "./agreement-notice";
import { noticeList } from "./notice-list";
import { passwordChange } from "./password-change";
import { permissionList } from "./permission-list";
import { profile } from "./profile";
import { roomList } from "./room-list";
import { sessionList } from "./session-list";
import { SignedInPage } from "./signed-in-page";

export class AccountPage extends SignedInPage {
  protected override readonly words = text.account;

  protected override async show(account: Account): Promise<void> {
    // Operators have no rooms, and need no agreement.
    const places = isOfSystem(account) ? operatorsOwn(account) : this.#places(account, await agreement(api));
    this.content.className = "account-content";
    this.content.replaceChildren(
      profile(account),
      h("div", { class: "account-main" }, ...replayed(account), ...places, sessionList(), passwordChange(account)),
      permissionList(account.permissions, account.by_hand),
    );
  }

  #places(account: Account, found: Agreement): HTMLElement[] {
    const may = mayChangePolicy(account);
    if (!found.accepted) return [may ? agreementPanel(found, "first") : agreementWait(() => void this.load())];
    return may && found.outdated ? [agreementNotice(found), roomList()] : [roomList()];
  }
}

/** That somebody else may have had a token of this account. */
function replayed(account: Account): HTMLElement[] {
  const at = account.session_replayed_at;
  return at === undefined ? [] : [h("p", { class: "note", role: "status" }, text.replayed, " ", moment(at))];
}

/** What concerns those who run the appliance, and not whoever helps them. */
function operatorsOwn(account: Account): HTMLElement[] {
  return account.role === "admin" ? [noticeList()] : [];
}

customElements.define("conclave-account", AccountPage);
