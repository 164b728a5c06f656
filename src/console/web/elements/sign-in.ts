// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-sign-in>: the sign-in form and its states. What is typed stays, except a refused password.

import { text, titlePage } from "../lang/index";
import { api, prepare } from "../page/context";
import { countdown } from "../page/countdown";
import { deviceName } from "../page/device";
import { h, isBusy, setBusy } from "../page/dom";
import { go, readFragment, takeNote } from "../page/fragment";
import { isPassing, noticeOf } from "../page/notice";
import { type Failure, failureOf } from "../sdk/failure";
import type { Appliance } from "./appliance";
import { checkField } from "./check-field";
import { passwordField } from "./password-field";
import { problemBox } from "./problem";
import { textField } from "./text-field";

const words = text.signIn;

/** Characters; a name to tell one's own devices apart needs no more. */
const DEVICE_NAME_MAX = "64";

export class SignIn extends HTMLElement {
  readonly #workspace = textField({ id: "workspace", label: words.workspace, autocomplete: "organization", verbatim: true });
  readonly #userName = textField({ id: "username", label: words.userName, autocomplete: "username", verbatim: true });
  readonly #password = passwordField({ id: "password", label: words.password, autocomplete: "current-password" });
  readonly #stay = checkField({ id: "stay", label: text.stay.label, hint: text.stay.hint, look: "box" });
  readonly #device = textField({
    id: "device",
    label: words.device,
    autocomplete: "off",
    hint: words.deviceHint(deviceName()),
    maxlength: DEVICE_NAME_MAX,
    optional: true,
  });
  readonly #problem = problemBox();
  readonly #note = h("p", { class: "note", role: "status", hidden: true });
  readonly #progress = h("p", { class: "visually-hidden", role: "status" });
  readonly #submit = h("button", { type: "submit", class: "primary" }, words.submit);

  connectedCallback(): void {
    if (this.childNodes.length > 0) return;
    titlePage(words.title);
    // `post`, so that no failure of ours could ever put a password into an address.
    const form = h(
      "form",
      { method: "post", novalidate: true, "aria-labelledby": "sign-in-title" },
      this.#workspace,
      this.#userName,
      this.#password,
      this.#stay,
      h("details", { class: "more" }, h("summary", {}, words.more), this.#device),
      this.#submit,
      h("p", { class: "sealed-note" }, words.sealed),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!isBusy(this.#submit)) void this.#signIn();
    });
    this.append(h("h1", { id: "sign-in-title" }, words.title), this.#note, this.#problem, form, this.#progress);
    this.#arrive();
  }

  #arrive(): void {
    const note = takeNote();
    const said = note === null ? undefined : words.notes[note];
    this.#note.hidden = said === undefined;
    this.#note.textContent = said ?? "";
    const { pin, workspace } = readFragment();
    this.#workspace.value = workspace ?? "";
    (this.#workspace.value === "" ? this.#workspace : this.#userName).focus();
    // An invitation is for signing in anew, whoever may be signed in already.
    void this.#meet(note === null && pin === null && workspace === null);
  }

  /** Learns who answers here; with a session still good, goes on to the account. */
  async #meet(resume: boolean): Promise<void> {
    const appliance = document.querySelector<Appliance>("conclave-appliance");
    appliance?.loading();
    try {
      const pinned = await prepare();
      appliance?.show(await api.offer(), pinned);
    } catch (thrown) {
      const failure = failureOf(thrown);
      const passing = isPassing(failure);
      appliance?.fail(noticeOf(failure), passing ? () => void this.#meet(resume) : undefined);
      if (passing) return;
      this.#problem.show(noticeOf(failure));
      setBusy(this.#submit, true);
      return;
    }
    if (!resume) return;
    await api.refresh().then(
      () => go("/account"),
      // Nobody is signed in, which is what this page is for.
      () => undefined,
    );
  }

  async #signIn(): Promise<void> {
    this.#note.hidden = true;
    this.#problem.clear();
    if (!this.#isComplete()) return;
    setBusy(this.#submit, true);
    try {
      const credential = {
        workspace: this.#workspace.value.trim(),
        user_name: this.#userName.value.trim(),
        password: this.#password.value,
      };
      await prepare();
      const device = { name: this.#device.value.trim() || deviceName(), persistent: this.#stay.checked };
      await api.signIn(credential, device, (step) => this.#say(step === "sealing" ? words.sealing : words.sending));
      this.#password.clear();
      go("/account");
    } catch (thrown) {
      this.#refused(failureOf(thrown));
    }
  }

  #isComplete(): boolean {
    // The password is taken as typed, spaces and all.
    const faults = [
      { field: this.#workspace, value: this.#workspace.value.trim(), message: words.missing.workspace },
      { field: this.#userName, value: this.#userName.value.trim(), message: words.missing.userName },
      { field: this.#password, value: this.#password.value, message: words.missing.password },
    ].filter(({ value }) => value === "");
    return !this.#problem.complain(faults);
  }

  #refused(failure: Failure): void {
    this.#say(words.submit);
    this.#progress.textContent = "";
    const wrong = failure.kind === "refused" && failure.problem.status === 401;
    const wait = failure.kind === "refused" ? failure.retryAfter : null;
    if (wait !== null) void countdown(this.#submit, wait, words.submit);
    else setBusy(this.#submit, false);
    // The password is what to type again, so that is where the focus belongs; the refusal is announced from the alert.
    this.#problem.show(noticeOf(failure), { focus: wrong ? "elsewhere" : "here" });
    if (!wrong) return;
    this.#password.clear();
    this.#password.focus();
  }

  #say(label: string): void {
    this.#submit.textContent = label;
    this.#progress.textContent = label;
  }
}

customElements.define("conclave-sign-in", SignIn);
