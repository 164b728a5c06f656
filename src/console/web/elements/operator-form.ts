// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-operator-form>: where operators say who runs the appliance. Only what was changed is sent.

import { locale, text } from "../lang/index";
import { api } from "../page/context";
import { h, isBusy, setBusy } from "../page/dom";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import { type ApplianceChange, type ApplianceRules, type Authority, type Identity, changeAppliance } from "../sdk/rules";
import { OPERATOR_CHANGED } from "./operator-link";
import { problemBox } from "./problem";
import { selectField } from "./select-field";
import { SIGNED_OUT } from "./sign-out";
import { textField } from "./text-field";

const words = text.operator;

/** Characters that the appliance takes of each. */
const LONGEST = "200";

export class OperatorForm extends HTMLElement {
  readonly #name = field("operator-name", words.name, words.nameHint);
  readonly #address = field("operator-address", words.address);
  readonly #contact = field("operator-contact", words.contact, words.contactHint);
  readonly #privacy = field("operator-privacy", words.privacy, words.privacyHint);
  readonly #authority = selectField({ id: "operator-authority", label: words.authority, hint: words.authorityHint });
  readonly #residency = field("operator-residency", words.residency, words.residencyHint);
  readonly #problem = problemBox();
  readonly #said = h("p", { class: "save-said", role: "status" });
  readonly #save = h("button", { type: "submit", class: "primary" }, words.save);
  #stored: ApplianceRules | undefined;

  fill(stored: ApplianceRules, authorities: readonly Authority[]): this {
    this.className = "panel operator-form";
    this.#authority.offer(choices(authorities));
    this.#show(stored);
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "operator-title" },
      this.#name,
      this.#address,
      this.#contact,
      this.#privacy,
      this.#authority,
      this.#residency,
      h("div", { class: "save-bar" }, this.#save, this.#said),
    );
    form.addEventListener("input", () => (this.#said.textContent = ""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#save)) void this.#send();
    });
    this.append(h("h2", { id: "operator-title" }, words.editTitle), h("p", { class: "lead" }, words.editLead), this.#problem, form);
    return this;
  }

  #show(stored: ApplianceRules): void {
    this.#stored = stored;
    this.#name.value = stored.operator.name;
    this.#address.value = stored.operator.address;
    this.#contact.value = stored.operator.contact;
    this.#privacy.value = stored.operator.privacy_contact;
    this.#authority.value = stored.supervisory_authority.country;
    this.#residency.value = stored.residency;
  }

  #changed(stored: ApplianceRules): ApplianceChange {
    const operator: Identity = {
      name: this.#name.value.trim(),
      address: this.#address.value.trim(),
      contact: this.#contact.value.trim(),
      privacy_contact: this.#privacy.value.trim(),
    };
    const residency = this.#residency.value.trim();
    const country = this.#authority.value;
    const differs = (Object.keys(operator) as (keyof Identity)[]).some((key) => operator[key] !== stored.operator[key]);
    return {
      ...(differs ? { operator } : {}),
      ...(country === stored.supervisory_authority.country ? {} : { supervisory_authority: country }),
      ...(residency === stored.residency ? {} : { residency }),
    };
  }

  async #send(): Promise<void> {
    if (this.#stored === undefined) return;
    this.#problem.clear();
    const change = this.#changed(this.#stored);
    if (Object.keys(change).length === 0) {
      this.#said.textContent = words.unchanged;
      return;
    }
    this.#said.textContent = "";
    setBusy(this.#save, true);
    this.#save.textContent = words.saving;
    try {
      this.#show(await changeAppliance(api, change));
      this.#said.textContent = words.saved;
      document.dispatchEvent(new Event(OPERATOR_CHANGED));
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind === "signed-out") document.dispatchEvent(new Event(SIGNED_OUT));
      else this.#problem.show(noticeOf(failure));
    }
    this.#save.textContent = words.save;
    setBusy(this.#save, false);
  }
}

function field(id: string, label: string, hint?: string) {
  return textField({ id, label, ...(hint === undefined ? {} : { hint }), autocomplete: "off", maxlength: LONGEST, optional: true });
}

/** By the name of the country in the person's language. */
function choices(authorities: readonly Authority[]): { value: string; label: string }[] {
  const names = new Intl.DisplayNames([locale], { type: "region" });
  const all = authorities.map(({ country, name }) => ({ value: country, label: `${names.of(country) ?? country}: ${name}` }));
  return all.sort((a, b) => a.label.localeCompare(b.label, locale));
}

customElements.define("conclave-operator-form", OperatorForm);

export function operatorForm(stored: ApplianceRules, authorities: readonly Authority[]): OperatorForm {
  return (document.createElement("conclave-operator-form") as OperatorForm).fill(stored, authorities);
}
