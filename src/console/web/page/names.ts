// SPDX-License-Identifier: AGPL-3.0-or-later
// Names for the ids in approvals. What cannot be found any more keeps its id, so that nothing is decided about a blank.

import { text } from "../lang/index";
import type { Approval } from "../sdk/rules";
import { api } from "./context";

const words = text.approvals;

const ACCOUNT = "account:";
const OPERATOR = "operator:";

export class Names {
  readonly #known = new Map<string, string>();

  constructor(
    /** Where the API has the accounts of this workspace. */
    private readonly base: string,
    private readonly me: string,
  ) {}

  /** Looks up whom and what these are about; who is not found is not asked for again. */
  async learn(all: readonly Approval[]): Promise<void> {
    const paths = new Map<string, string>();
    for (const one of all) {
      const target = one.deed === "account.erase" ? `${this.base}/accounts` : "/api/v1/system/workspaces";
      paths.set(one.target, `${target}/${encodeURIComponent(one.target)}`);
      for (const actor of [one.requested_by, one.decided_by ?? ""]) {
        const id = actor.slice(actor.indexOf(":") + 1);
        if (this.#isHere(actor) && id !== this.me) paths.set(id, `${this.base}/accounts/${encodeURIComponent(id)}`);
      }
    }
    const missing = [...paths].filter(([id]) => !this.#known.has(id));
    await Promise.all(missing.map(([id, path]) => this.#look(id, path)));
  }

  ofTarget({ target }: Approval): string {
    return this.#known.get(target) || target;
  }

  /** Who did something, as the audit names them: `account:…`, `operator:…`, `operator:local`. */
  ofActor(actor: string): string {
    const id = actor.slice(actor.indexOf(":") + 1);
    if (id === this.me) return words.you;
    if (actor === `${OPERATOR}local`) return words.host;
    return this.#known.get(id) || (actor.startsWith(OPERATOR) ? words.anOperator : words.somebody);
  }

  /** Operators have no account but in their own workspace, which is the one on a path of the system. */
  #isHere(actor: string): boolean {
    return actor.startsWith(ACCOUNT) || (actor.startsWith(OPERATOR) && actor !== `${OPERATOR}local` && this.base.includes("/system/"));
  }

  async #look(id: string, path: string): Promise<void> {
    const found = await api.get<{ user_name?: string; name?: string }>(path).catch(() => null);
    this.#known.set(id, found?.user_name ?? found?.name ?? "");
  }
}
