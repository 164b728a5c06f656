// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-policy-form>: what the workspace permits, each with what it means. Only what was changed is sent; whatever
// happens, what was typed stays.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { isPassing, noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import { type Policy, type PolicyChange, changePolicy, policy } from "../sdk/rules";
import { type CheckField, checkField } from "./check-field";
import { type NumberField, numberField } from "./number-field";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.policy;

/** Sent on the document when the agreement has to be accepted first. */
export const NO_AGREEMENT = "conclave-no-agreement";

type Switch = "voice" | "screen_share" | "guests" | "plain_sign_in" | "single_device";
type Count = "idle_hours" | "session_days" | "persistent_days";

export class PolicyForm extends HTMLElement {
  readonly #switches: Readonly<Record<Switch, CheckField>> = {
    voice: checkField({ id: "voice", label: words.voice, hint: words.voiceHint, look: "switch" }),
    screen_share: checkField({ id: "screen_share", label: words.screenShare, hint: words.screenShareHint, look: "switch" }),
    guests: checkField({ id: "guests", label: words.guests, hint: words.guestsHint, look: "switch" }),
    plain_sign_in: checkField({ id: "plain_sign_in", label: words.plain, hint: words.plainHint, look: "switch" }),
    single_device: checkField({ id: "single_device", label: words.single, hint: words.singleHint, look: "switch" }),
  };
  readonly #numbers: Readonly<Record<Count, NumberField>> = {
    idle_hours: numberField({ id: "idle_hours", label: words.idle, hint: words.idleHint, unit: words.hours, least: 1, most: 168, autocomplete: "off" }),
    session_days: numberField({ id: "session_days", label: words.absolute, hint: words.absoluteHint, unit: words.days, least: 1, most: 90, autocomplete: "off" }),
    persistent_days: numberField({ id: "persistent_days", label: words.persistent, hint: words.persistentHint, unit: words.days, least: 0, most: 90, autocomplete: "off" }),
  };
  readonly #problem = problemBox();
  readonly #said = h("p", { class: "save-said", role: "status" });
  readonly #undo = h("button", { type: "button", class: "quiet", hidden: true }, words.undo);
  readonly #save = h("button", { type: "submit", class: "primary" }, words.save);
  readonly #bar = h("div", { class: "save-bar" }, this.#save, this.#undo, this.#said);
  readonly #body = h("div");
  #stored: Policy | undefined;

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    this.className = "panel policy";
    this.append(h("h2", { id: "policy-title" }, words.title), h("p", { class: "lead" }, words.lead), this.#problem, this.#body);
    this.#undo.addEventListener("click", () => {
      if (this.#stored !== undefined) this.#fill(this.#stored);
      this.#save.focus();
    });
    void this.#load();
  }

  async #load(): Promise<void> {
    this.#problem.clear();
    this.#body.replaceChildren(h("p", { class: "loading", role: "status" }, words.loading));
    try {
      this.#fill(await policy(api));
      this.#body.replaceChildren(this.#form());
    } catch (thrown) {
      this.#body.replaceChildren();
      this.#fail(thrown, () => void this.#load());
    }
  }

  #form(): HTMLElement {
    const { voice, screen_share, guests, plain_sign_in, single_device } = this.#switches;
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "policy-title" },
      h("fieldset", {}, h("legend", {}, words.meetings), voice, screen_share),
      h("fieldset", {}, h("legend", {}, words.people), guests, single_device, plain_sign_in),
      h("fieldset", {}, h("legend", {}, words.sessions), h("p", { class: "field-hint" }, words.sessionsLead), ...Object.values(this.#numbers)),
      this.#bar,
    );
    form.addEventListener("input", () => this.#count());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#save)) void this.#send();
    });
    return form;
  }

  #fill(stored: Policy): void {
    this.#stored = stored;
    for (const [name, field] of this.#pairs()) field.checked = stored[name];
    for (const [name, field] of this.#counted()) {
      field.value = String(stored[name]);
      field.complain(null);
    }
    const off = h("p", { class: "note quiet-note" }, words.voiceOff);
    this.#switches.voice.more.replaceChildren(...(stored.appliance_voice ? [] : [off]));
    this.#problem.clear();
    this.#count();
  }

  #pairs(): [Switch, CheckField][] {
    return Object.entries(this.#switches) as [Switch, CheckField][];
  }

  #counted(): [Count, NumberField][] {
    return Object.entries(this.#numbers) as [Count, NumberField][];
  }

  /** What differs from what is stored; a number that is none counts as a difference. */
  #changed(stored: Policy): Record<string, boolean | number | null> {
    const found: Record<string, boolean | number | null> = {};
    for (const [name, field] of this.#pairs()) if (field.checked !== stored[name]) found[name] = field.checked;
    for (const [name, field] of this.#counted()) if (field.whole !== stored[name]) found[name] = field.whole;
    return found;
  }

  #count(): void {
    if (this.#stored === undefined) return;
    const count = Object.keys(this.#changed(this.#stored)).length;
    this.#undo.hidden = count === 0;
    this.#bar.classList.toggle("unsaved", count > 0);
    this.#said.textContent = count === 0 ? "" : words.unsaved(count);
  }

  async #send(): Promise<void> {
    if (this.#stored === undefined) return;
    this.#problem.clear();
    const faults = this.#counted()
      .filter(([, field]) => field.whole === null)
      .map(([, field]) => ({ field, message: words.between(field.least, field.most) }));
    for (const { field, message } of faults) field.complain(message);
    if (faults.length > 0) return this.#problem.showFields(faults.map(({ field, message }) => ({ field, message: `${field.label}: ${message}` })));
    const change = this.#changed(this.#stored);
    if (Object.keys(change).length === 0) {
      this.#said.textContent = words.unchanged;
      return;
    }
    setBusy(this.#save, true);
    this.#save.textContent = words.saving;
    try {
      this.#fill(await changePolicy(api, change as PolicyChange));
      this.#said.textContent = words.saved;
    } catch (thrown) {
      this.#fail(thrown);
    }
    this.#save.textContent = words.save;
    setBusy(this.#save, false);
  }

  #fail(thrown: unknown, retry?: () => void): void {
    const failure = failureOf(thrown);
    if (failure.kind === "signed-out") {
      document.dispatchEvent(new Event(SIGNED_OUT));
      return;
    }
    if (failure.kind === "refused" && failure.problem.code === "agreement-required") {
      document.dispatchEvent(new Event(NO_AGREEMENT));
      return;
    }
    this.#problem.show(noticeOf(failure), { retry: isPassing(failure) ? retry : undefined });
    if (failure.kind !== "refused") return;
    // The appliance names the field that it refuses.
    const named = /`(\w+)`/.exec(failure.problem.detail)?.[1];
    this.#counted().find(([name]) => name === named)?.[1].complain(failure.problem.detail);
  }
}

customElements.define("conclave-policy-form", PolicyForm);

export function policyForm(): PolicyForm {
  return document.createElement("conclave-policy-form") as PolicyForm;
}
