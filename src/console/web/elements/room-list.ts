// SPDX-License-Identifier: AGPL-3.0-or-later
// <conclave-room-list>: the rooms one may enter, and who is in them now. It looks again every two seconds while
// somebody can see it, and says only what changed in words that a screen reader has time for.

import { text } from "../lang/index";
import { api } from "../page/context";
import { h } from "../page/dom";
import { noticeOf } from "../page/notice";
import { failureOf } from "../sdk/failure";
import type { Present, Room } from "../sdk/types";
import { problemBox } from "./problem";
import { SIGNED_OUT } from "./sign-out";

const words = text.rooms;

/** Soon enough to follow people coming and going; one small request each. */
const LOOK_AGAIN_MS = 2_000;
/** What is read out waits until it has been so for this long, so that a busy lobby does not talk without pause. */
const SAY_AFTER_MS = 10_000;

export class RoomList extends HTMLElement {
  readonly #problem = problemBox();
  readonly #body = h("div", { class: "room-body" });
  readonly #said = h("p", { class: "visually-hidden", "aria-live": "polite" });
  #shown = "";
  #summary = "";
  #timer: number | undefined;
  #saying: number | undefined;
  #looking = false;
  readonly #onVisibility = (): void => this.#lookIfSeen();

  connectedCallback(): void {
    if (this.childNodes.length === 0) {
      this.className = "panel rooms";
      this.append(h("h2", { id: "rooms-title" }, words.title), h("p", { class: "lead" }, words.lead), this.#problem, this.#said, this.#body);
      this.#body.append(h("p", { class: "loading" }, words.loading));
    }
    document.addEventListener("visibilitychange", this.#onVisibility);
    this.#lookIfSeen();
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.#onVisibility);
    clearTimeout(this.#timer);
    clearTimeout(this.#saying);
  }

  #lookIfSeen(): void {
    clearTimeout(this.#timer);
    if (!document.hidden && this.isConnected && !this.#looking) void this.#look();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    try {
      const rooms = await api.rooms();
      this.#problem.clear();
      this.#show(rooms);
      this.#timer = window.setTimeout(() => this.#lookIfSeen(), LOOK_AGAIN_MS);
    } catch (thrown) {
      this.#fail(thrown);
    } finally {
      this.#looking = false;
    }
  }

  /** Draws only what is new: a list that is replaced under a reader loses their place. */
  #show(rooms: readonly Room[]): void {
    const shown = JSON.stringify(rooms.map(({ id, name, policy, participants }) => [id, name, policy.capacity, participants]));
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#body.replaceChildren(
      rooms.length === 0
        ? h("p", { class: "empty" }, words.empty)
        : h("ul", { class: "room-list", "aria-labelledby": "rooms-title" }, ...rooms.map(room)),
    );
    this.#say(summary(rooms));
  }

  #say(said: string): void {
    clearTimeout(this.#saying);
    // What one finds on the page when it loads need not be read out.
    const first = this.#summary === "";
    if (first) this.#summary = said;
    if (said === this.#summary) return;
    this.#saying = window.setTimeout(() => {
      this.#summary = said;
      this.#said.textContent = said;
    }, SAY_AFTER_MS);
  }

  #fail(thrown: unknown): void {
    const failure = failureOf(thrown);
    if (failure.kind === "signed-out") {
      document.dispatchEvent(new Event(SIGNED_OUT));
      return;
    }
    // What was true a moment ago would pass for what is true now.
    this.#shown = "";
    this.#body.replaceChildren();
    const retry = (): void => {
      this.#problem.clear();
      this.#body.replaceChildren(h("p", { class: "loading" }, words.loading));
      this.#lookIfSeen();
    };
    // Nobody asked for this just now, so nobody's focus is moved.
    this.#problem.show(noticeOf(failure), { retry, focus: "elsewhere" });
  }
}

function room(found: Room): HTMLElement {
  const there = found.participants;
  return h(
    "li",
    { class: there.length === 0 ? "room" : "room live" },
    h("div", { class: "room-head" }, h("h3", {}, found.name), h("span", { class: there.length === 0 ? "muted" : "state good" }, words.there(there.length, found.policy.capacity))),
    there.length === 0 ? h("p", { class: "muted" }, words.nobody) : h("ul", { class: "present", "aria-label": words.presentIn(found.name) }, ...there.map(present)),
  );
}

function present(one: Present): HTMLElement {
  const state = one.silenced ? words.silenced : one.muted ? words.muted : null;
  return h("li", {}, h("span", { class: "present-name" }, one.display_name), state === null ? null : h("span", { class: "state" }, state));
}

function summary(rooms: readonly Room[]): string {
  const live = rooms.filter((one) => one.participants.length > 0);
  return live.length === 0 ? words.quiet : live.map((one) => words.summary(one.name, one.participants.length)).join(" ");
}

customElements.define("conclave-room-list", RoomList);

export function roomList(): RoomList {
  return document.createElement("conclave-room-list") as RoomList;
}
