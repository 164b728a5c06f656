// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-session-list>: the devices that are signed in, and ending any but this one. This one is ended by
// signing out.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { noticeOf } from "../page/notice";
import { moment } from "../page/time";
import { failureOf } from "../sdk/failure";
import type { Session } from "../sdk/types";
import { confirm } from "./confirm";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.sessions;

export class SessionList extends HTMLElement {
  readonly #heading = h("h2", { id: "sessions-title", tabindex: "-1" }, words.title);
  readonly #problem = problemBox();
  readonly #said = h("p", { class: "said", role: "status" });
  readonly #body = h("div");

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.className = "panel sessions";
    this.append(this.#heading, h("p", { class: "lead" }, words.lead), this.#problem, this.#said, this.#body);
    document.addEventListener("conclave-sessions-changed", () => void this.#load());
    this.#body.append(h("p", { class: "loading" }, words.loading));
    void this.#load();
  }

  async #load(): Promise<void> {
    this.#body.setAttribute("aria-busy", "true");
    try {
      this.#show(await api.sessions());
    } catch (thrown) {
      this.#fail(thrown, () => {
        this.#problem.clear();
        void this.#load();
      });
    }
    this.#body.removeAttribute("aria-busy");
  }

  #show(sessions: readonly Session[]): void {
    if (sessions.length === 0) {
      this.#body.replaceChildren(h("p", { class: "empty" }, words.empty));
      return;
    }
    const ordered = [...sessions].sort(
      (a, b) => Number(b.current) - Number(a.current) || b.last_seen_at.localeCompare(a.last_seen_at),
    );
    const others = ordered.filter((session) => !session.current);
    const head = [words.device, words.created, words.lastSeen].map((name) => h("th", { scope: "col" }, name));
    const table = h(
      "table",
      { "aria-labelledby": this.#heading.id },
      h("thead", {}, h("tr", {}, ...head, h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, words.action)))),
      h("tbody", {}, ...ordered.map((session) => this.#row(session))),
    );
    this.#body.replaceChildren(
      table,
      others.length === 0 ? h("p", { class: "empty" }, words.alone) : h("div", { class: "end-all" }, this.#endOthers(others)),
    );
  }

  #endOthers(others: readonly Session[]): HTMLElement {
    return confirm({
      id: "end-all",
      label: words.endOthers,
      question: words.confirm(others.length),
      yes: words.confirmYes,
      no: words.confirmNo,
      busy: words.ending,
      kind: "danger",
      work: () => this.#endAll(),
    });
  }

  #row(session: Session): HTMLElement {
    const device = session.device_name || words.unnamed;
    let action: Node = h("span", { class: "state good" }, words.current);
    if (!session.current) {
      const button = h("button", { type: "button", class: "quiet", "aria-label": words.endLabel(device) }, words.end);
      button.addEventListener("click", () => {
        if (!isBusy(button)) void this.#end(session, device, button);
      });
      action = button;
    }
    // `data-label` is what a narrow screen shows in place of the header row.
    return h(
      "tr",
      session.current ? { class: "current" } : {},
      h("th", { scope: "row" }, device, ...(session.persistent ? [" ", h("span", { class: "state" }, text.stay.state)] : [])),
      h("td", { "data-label": words.created }, moment(session.created_at)),
      h("td", { "data-label": words.lastSeen }, moment(session.last_seen_at)),
      h("td", { class: "row-action" }, action),
    );
  }

  async #end(session: Session, device: string, button: HTMLButtonElement): Promise<void> {
    this.#problem.clear();
    setBusy(button, true);
    button.textContent = words.ending;
    try {
      await api.endSession(session.id);
      await this.#load();
      this.#say(words.ended(device));
    } catch (thrown) {
      button.textContent = words.end;
      setBusy(button, false);
      this.#fail(thrown);
    }
  }

  async #endAll(): Promise<void> {
    this.#problem.clear();
    try {
      const ended = await api.endOtherSessions();
      await this.#load();
      this.#say(words.endedOthers(ended));
    } catch (thrown) {
      // It may have been done all the same: show what is left before saying what went wrong.
      await this.#load();
      this.#fail(thrown);
    }
  }

  /** The pressed button is gone; the heading is the nearest place that stays. */
  #say(message: string): void {
    this.#said.textContent = message;
    this.#heading.focus();
  }

  #fail(thrown: unknown, retry?: () => void): void {
    const failure = failureOf(thrown);
    if (failure.kind === "signed-out") document.dispatchEvent(new Event(SIGNED_OUT));
    else this.#problem.show(noticeOf(failure), { retry });
  }
}

customElements.define("conclave-session-list", SessionList);

export function sessionList(): SessionList {
  return document.createElement("conclave-session-list") as SessionList;
}
