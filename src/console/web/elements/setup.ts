// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-setup>: the claim of a new appliance, step by step. What was typed stays when a step is gone back to; the
// code and the password live in these fields and nowhere else.

import { text, titlePage } from "../lang/index";
import { api, prepare } from "../page/context";
import { h } from "../page/dom";
import { isPassing, noticeOf } from "../page/notice";
import { type Failure, failureOf } from "../sdk/failure";
import type { Claimed, Root, SetupFacts } from "../sdk/types";
import { problemBox } from "./problem";
import { setupDone } from "./setup-done";
import { setupKit } from "./setup-kit";
import { setupOperator } from "./setup-operator";
import { setupRoot } from "./setup-root";
import { setupScope } from "./setup-scope";

const words = text.setup;

export class Setup extends HTMLElement {
  readonly #problem = problemBox();
  readonly #lead = h("p", { class: "lead" }, words.lead);
  readonly #steps = h("ol", { class: "steps" });
  readonly #step = h("div", { class: "setup-step" });
  readonly #scope = setupScope((root) => this.#confirm(root));
  readonly #operator = setupOperator(() => void this.#kit(), () => this.#go(0, this.#scope));
  #facts: SetupFacts | null = null;
  #root: Root | null = null;

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    titlePage(words.title);
    this.append(
      h("h1", { class: "page-title" }, words.title),
      this.#lead,
      this.#steps,
      this.#problem,
      this.#step,
    );
    void this.#begin();
  }

  async #begin(): Promise<void> {
    this.#problem.clear();
    this.#mark(0);
    this.#step.replaceChildren(h("p", { class: "loading", role: "status" }, words.loading));
    try {
      await prepare();
      this.#facts = await api.setupFacts();
      this.#scope.propose(this.#facts);
      this.#step.replaceChildren(this.#scope);
      this.#scope.begin();
    } catch (thrown) {
      const failure = failureOf(thrown);
      this.#step.replaceChildren();
      this.#problem.show(noticeOf(failure), { retry: isPassing(failure) ? () => void this.#begin() : undefined });
    }
  }

  #confirm(root: Root): void {
    this.#root = root;
    this.#go(1, setupRoot(root, () => this.#go(2, this.#operator), () => this.#go(0, this.#scope)));
  }

  async #kit(): Promise<void> {
    const [facts, root] = [this.#facts, this.#root];
    if (facts === null || root === null) return;
    try {
      const list = await api.recoveryWords();
      const kit = await setupKit(list, facts, root, (publicKey) => this.#claim(root, publicKey));
      this.#go(3, kit);
    } catch (thrown) {
      this.#problem.show(noticeOf(failureOf(thrown)));
    }
  }

  /** Claims, or leads back to where what was refused is typed. */
  async #claim(root: Root, publicKey: string): Promise<void> {
    const { userName, displayName, password } = this.#operator;
    try {
      const operator = { user_name: userName, display_name: displayName };
      this.#finish(await api.claim(this.#scope.code, operator, password, publicKey, root.root_fingerprint));
    } catch (thrown) {
      this.#refused(failureOf(thrown));
    }
  }

  #refused(failure: Failure): void {
    const code = failure.kind === "refused" ? failure.problem.code : "";
    if (code === "password-refused" || code === "invalid-body") this.#go(2, this.#operator);
    else if (code.startsWith("setup-code") || code === "root-not-confirmed") this.#go(0, this.#scope);
    this.#problem.show(noticeOf(failure));
  }

  #finish(claimed: Claimed): void {
    this.#operator.forget();
    this.#lead.hidden = true;
    this.#go(4, setupDone(claimed));
  }

  #go(number: number, step: HTMLElement): void {
    this.#problem.clear();
    this.#mark(number);
    this.#step.replaceChildren(step);
    step.querySelector<HTMLElement>("h2")?.focus();
    scrollTo({ top: 0 });
  }

  #mark(current: number): void {
    const items = words.steps.map((name, number) => {
      const state = number < current ? "past" : number === current ? "now" : "ahead";
      return h("li", { class: state, "aria-current": number === current ? "step" : undefined }, name);
    });
    this.#steps.replaceChildren(...items);
    this.#steps.setAttribute("aria-label", words.step(current + 1, words.steps.length));
  }
}

customElements.define("conclave-setup", Setup);
