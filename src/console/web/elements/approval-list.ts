// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-approval-list>: what takes two persons. What waits stands first; one's own can only be withdrawn.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h } from "../page/dom";
import { Names } from "../page/names";
import { isPassing, noticeOf } from "../page/notice";
import { moment } from "../page/time";
import { failureOf } from "../sdk/failure";
import { type Approval, type Verdict, approvals, decide } from "../sdk/rules";
import type { Account } from "../sdk/types";
import { confirm } from "./confirm";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.approvals;

export class ApprovalList extends HTMLElement {
  readonly #heading = h("h2", { id: "approvals-title", tabindex: "-1" }, words.title);
  readonly #problem = problemBox();
  readonly #said = h("p", { class: "said", role: "status" });
  readonly #body = h("div");
  #base = "";
  #me = "";
  #names = new Names("", "");

  /** `base` is where the API has the approvals of the workspace. */
  fill(base: string, account: Account): this {
    this.className = "panel approvals";
    this.#base = base;
    this.#me = account.id;
    this.#names = new Names(base, account.id);
    this.append(this.#heading, h("p", { class: "lead" }, words.lead), this.#problem, this.#said, this.#body);
    this.#body.append(h("p", { class: "loading" }, words.loading));
    void this.#load();
    return this;
  }

  async #load(): Promise<void> {
    this.#body.setAttribute("aria-busy", "true");
    try {
      const all = await approvals(api, this.#base);
      await this.#names.learn(all);
      this.#show(all);
    } catch (thrown) {
      this.#body.replaceChildren();
      this.#fail(thrown, () => {
        this.#problem.clear();
        void this.#load();
      });
    }
    this.#body.removeAttribute("aria-busy");
  }

  #show(all: readonly Approval[]): void {
    const pending = all.filter((one) => one.state === "pending");
    const decided = all.filter((one) => one.state !== "pending");
    const list = (some: readonly Approval[]): HTMLElement =>
      h("ul", { class: "approval-list", "aria-labelledby": this.#heading.id }, ...some.map((one) => this.#item(one)));
    this.#body.replaceChildren(
      pending.length === 0 ? h("p", { class: "empty" }, words.empty) : list(pending),
      ...(decided.length === 0 ? [] : [h("details", { class: "more" }, h("summary", {}, words.earlier(decided.length)), list(decided))]),
    );
  }

  #item(one: Approval): HTMLElement {
    const pending = one.state === "pending";
    const what = `${words.deeds[one.deed] ?? one.deed}: ${this.#names.ofTarget(one)}`;
    const facts = [
      fact(words.reason, one.reason),
      fact(words.asked, this.#names.ofActor(one.requested_by)),
      fact(words.at, moment(one.requested_at)),
      ...(one.decided_by === undefined ? [] : [fact(words.decidedBy, this.#names.ofActor(one.decided_by))]),
      ...(pending ? [fact(words.until, moment(one.expires_at))] : []),
      ...(one.state === "approved" ? [fact(words.usable, moment(one.expires_at))] : []),
    ];
    const good = one.state === "approved" || one.state === "used";
    return h(
      "li",
      { class: "approval" },
      h("div", { class: "approval-head" }, h("h3", {}, what), h("span", { class: good ? "state good" : "state" }, words.states[one.state] ?? one.state)),
      h("dl", { class: "pairs" }, ...facts),
      ...(pending ? [this.#actions(one, what)] : []),
    );
  }

  #actions(one: Approval, what: string): HTMLElement {
    const shared = { question: "", no: words.no, busy: text.confirm.working };
    if (one.requested_by.endsWith(`:${this.#me}`)) {
      const work = (): Promise<void> => this.#decide(one, "rejected", words.said.withdrawn);
      const ask = { label: words.withdraw, longLabel: words.withdrawLabel(what), question: words.withdrawQuestion(what), yes: words.withdrawYes };
      return h("div", { class: "approval-actions" }, confirm({ ...shared, ...ask, id: `withdraw-${one.id}`, kind: "danger", work }), h("span", { class: "muted" }, words.own));
    }
    const approve = { label: words.approve, longLabel: words.approveLabel(what), question: words.approveQuestion(what), yes: words.approveYes };
    const reject = { label: words.reject, longLabel: words.rejectLabel(what), question: words.rejectQuestion(what), yes: words.rejectYes };
    return h(
      "div",
      { class: "approval-actions" },
      confirm({ ...shared, ...approve, id: `approve-${one.id}`, kind: "primary", work: () => this.#decide(one, "approved", words.said.approved) }),
      confirm({ ...shared, ...reject, id: `reject-${one.id}`, kind: "danger", work: () => this.#decide(one, "rejected", words.said.rejected) }),
    );
  }

  async #decide(one: Approval, verdict: Verdict, said: string): Promise<void> {
    this.#problem.clear();
    this.#said.textContent = "";
    try {
      await decide(api, this.#base, one.id, verdict);
      await this.#load();
      this.#said.textContent = said;
      // The pressed button is gone; the heading is the nearest place that stays.
      this.#heading.focus();
    } catch (thrown) {
      // Somebody may have decided meanwhile: show what is so before saying what went wrong.
      await this.#load();
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown, retry?: () => void): void {
    const failure = failureOf(thrown);
    if (failure.kind === "signed-out") document.dispatchEvent(new Event(SIGNED_OUT));
    else this.#problem.show(noticeOf(failure), { retry: isPassing(failure) ? retry : undefined, focus: retry === undefined ? "here" : "elsewhere" });
  }
}

function fact(name: string, value: string | Node): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

customElements.define("conclave-approval-list", ApprovalList);

export function approvalList(base: string, account: Account): ApprovalList {
  return (document.createElement("conclave-approval-list") as ApprovalList).fill(base, account);
}
