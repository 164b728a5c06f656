// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-workspace>: the workspace for who may change its policy: what it permits, which agreement was accepted for
// it, and for Admins what waits for a second person.

import { text } from "../lang/index";
import { h } from "../page/dom";
import { go, keeping } from "../page/fragment";
import { isAdmin, isOperator, mayChangePolicy } from "../page/rights";
import type { Account } from "../sdk/types";
import { agreementRecord } from "./agreement-record";
import { approvalList } from "./approval-list";
import { NO_AGREEMENT, policyForm } from "./policy-form";
import { SignedInPage } from "./signed-in-page";

const words = text.policy;

export class WorkspacePage extends SignedInPage {
  protected override readonly words = { title: words.page, loading: words.loadingPage };

  protected override async show(account: Account): Promise<void> {
    if (isOperator(account)) return go("/operator");
    if (!mayChangePolicy(account)) {
      this.content.replaceChildren(h("p", {}, h("a", { href: keeping("/account") }, text.navigation.account)));
      this.problem.show({ title: words.notYours, detail: words.notYoursDetail, wayOut: words.notYoursWayOut, requestId: "" });
      return;
    }
    // It stands on the page of one's account.
    document.addEventListener(NO_AGREEMENT, () => go("/account"));
    const approvals = isAdmin(account) ? [approvalList("/api/v1", account)] : [];
    this.content.className = "columns";
    this.content.replaceChildren(h("p", { class: "page-lead" }, words.of(account.workspace.name)), policyForm(), h("div", { class: "column" }, ...approvals, agreementRecord()));
  }
}

customElements.define("conclave-workspace", WorkspacePage);
