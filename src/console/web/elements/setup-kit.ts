// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-setup-kit>: the recovery kit, made here, printed, and proven by three of its words before the claim.

import { locale, text } from "../lang/index";
import { h, isBusy, setBusy } from "../page/dom";
import { qrCode } from "../page/qr";
import { fromBase64Url, hex } from "../sdk/bytes";
import { type Kit, makeKit, placesToProve } from "../sdk/kit";
import type { Root, SetupFacts } from "../sdk/types";
import { problemBox } from "./problem";
import { spelled } from "./setup-root";
import { textField } from "./text-field";

const words = text.setup.kit;

export class SetupKit extends HTMLElement {
  readonly #places = placesToProve();
  readonly #problem = problemBox();
  #paper: readonly Node[] = [];

  fill(kit: Kit, facts: SetupFacts, root: Root, claim: (publicKey: string) => Promise<void>): this {
    this.className = "panel kit";
    const print = h("button", { type: "button", class: "quiet" }, words.print);
    const have = h("button", { type: "button", class: "primary" }, words.have);
    print.addEventListener("click", () => window.print());
    have.addEventListener("click", () => this.#prove(kit, claim));
    this.#paper = [
      h("h2", { tabindex: "-1" }, words.title),
      h("p", { class: "lead on-screen" }, words.lead),
      h(
        "dl",
        { class: "facts one" },
        fact(words.made, new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(new Date())),
        fact(words.appliance, h("code", {}, facts.appliance)),
        fact(words.identity, h("code", {}, hex(fromBase64Url(facts.identity_key)))),
        fact(words.root, spelled(root.root_fingerprint)),
      ),
      h("h3", { id: "words-title" }, words.words),
      h("ol", { class: "words", "aria-labelledby": "words-title" }, ...kit.words.map((word) => h("li", {}, word))),
      qrCode(kit.words.join(" "), words.qr),
      h("p", { class: "keep" }, words.keep),
      h("div", { class: "actions on-screen" }, have, print),
    ];
    this.replaceChildren(...this.#paper);
    return this;
  }

  #prove(kit: Kit, claim: (publicKey: string) => Promise<void>): void {
    const fields = this.#places.map((place) =>
      textField({ id: `word-${place}`, label: words.word(place), autocomplete: "off", verbatim: true }),
    );
    const submit = h("button", { type: "submit", class: "primary" }, words.claim);
    const again = h("button", { type: "button", class: "quiet" }, words.again);
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "proof-title" },
      ...fields,
      h("div", { class: "actions" }, submit, again),
    );
    const title = h("h2", { id: "proof-title", tabindex: "-1" }, words.proofTitle);
    again.addEventListener("click", () => {
      this.replaceChildren(...this.#paper);
      this.querySelector<HTMLElement>("h2")?.focus();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isBusy(submit)) return;
      this.#problem.clear();
      const faults = fields
        .map((field, at) => ({ field, place: this.#places[at] ?? 0 }))
        .filter(({ field, place }) => field.value.trim().toLowerCase() !== kit.words[place - 1])
        .map(({ field, place }) => ({ field, message: words.wrongWord(place) }));
      if (this.#problem.complain(faults)) return;
      submit.textContent = words.claiming;
      setBusy(submit, true);
      void claim(kit.publicKey).finally(() => {
        submit.textContent = words.claim;
        setBusy(submit, false);
      });
    });
    this.replaceChildren(title, h("p", { class: "lead" }, words.proofLead), this.#problem, form);
    title.focus();
  }
}

function fact(name: string, value: string | HTMLElement): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

customElements.define("conclave-setup-kit", SetupKit);

export async function setupKit(
  list: readonly string[],
  facts: SetupFacts,
  root: Root,
  claim: (publicKey: string) => Promise<void>,
): Promise<SetupKit> {
  return (document.createElement("conclave-setup-kit") as SetupKit).fill(await makeKit(list), facts, root, claim);
}
