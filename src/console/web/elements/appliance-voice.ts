// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-appliance-voice>: voice for the whole appliance, on or off, after asking once.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h } from "../page/dom";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import { changeAppliance } from "../sdk/rules";
import { confirm } from "./confirm";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.operator;

export class ApplianceVoice extends HTMLElement {
  readonly #heading = h("h2", { tabindex: "-1" }, words.voiceTitle);
  readonly #state = h("span", { class: "state" });
  readonly #problem = problemBox();
  readonly #said = h("p", { role: "status" });
  readonly #action = h("div");

  fill(on: boolean): this {
    this.className = "panel appliance-voice";
    this.append(h("div", { class: "panel-head" }, this.#heading, this.#state), this.#said, this.#problem, this.#action);
    this.#show(on);
    return this;
  }

  #show(on: boolean): void {
    this.#state.className = on ? "state good" : "state";
    this.#state.textContent = on ? words.isOn : words.isOff;
    this.#said.textContent = on ? words.voiceOn : words.voiceOff;
    const ask = on
      ? { label: words.turnOff, question: words.turnOffQuestion, yes: words.turnOffYes, kind: "danger" as const }
      : { label: words.turnOn, question: words.turnOnQuestion, yes: words.turnOnYes, kind: "primary" as const };
    this.#action.replaceChildren(confirm({ ...ask, id: "appliance-voice", no: words.no, busy: text.confirm.working, work: () => this.#turn(!on) }));
  }

  async #turn(on: boolean): Promise<void> {
    this.#problem.clear();
    try {
      this.#show((await changeAppliance(api, { voice: on })).voice);
      this.#heading.focus();
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind === "signed-out") document.dispatchEvent(new Event(SIGNED_OUT));
      else this.#problem.show(noticeOf(failure));
    }
  }
}

customElements.define("conclave-appliance-voice", ApplianceVoice);

export function applianceVoice(on: boolean): ApplianceVoice {
  return (document.createElement("conclave-appliance-voice") as ApplianceVoice).fill(on);
}
