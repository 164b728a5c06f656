// SPDX-License-Identifier: Apache-2.0 OR MIT
// The one client of the member API. The access token lives in a private field and nowhere else; the
// refresh token is a cookie that no script can read. Every failure leaves as a `Refusal`.

import type { Bytes } from "./bytes";
import { Refusal, failureOf, readProblem } from "./failure";
import { type Offer, type OfferAnswer, verifyOffer } from "./offer";
import { type Credential, seal } from "./seal";
import type { Account, Claimed, Recovery, Room, Root, Session, SetupFacts, TokenAnswer } from "./types";

/** Longer than a full sign-in queue takes to drain, so that a wait is not mistaken for silence. */
const ANSWER_TIMEOUT_MS = 30_000;

/** One tab at a time changes the refresh cookie: two that race would look like a replay, which ends the session. */
const COOKIE_LOCK = "conclave-refresh";

export type Step = "sealing" | "sending";

export interface Device {
  readonly name: string;
  /** Whether it is to stay signed in when it is closed, as far as the workspace permits. */
  readonly persistent: boolean;
}

interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** Made anew for each attempt, because a challenge can be used once. */
  readonly body?: () => Promise<unknown>;
}

export class Api {
  #accessToken: string | null = null;
  /** The identity key that every offer must have: the pinned one, else the first one seen on this page. */
  #expected: Bytes | null = null;

  constructor(private readonly origin: string) {}

  pin(identityKey: Bytes): void {
    this.#expected = identityKey;
  }

  async offer(): Promise<Offer> {
    const answer = await this.#fetch({ method: "GET", path: "/api/v1/sign-in" });
    if (!answer.ok) throw new Refusal(await readProblem(answer));
    const offer = await verifyOffer(await json<OfferAnswer>(answer), this.#expected);
    this.#expected = offer.identityKey;
    return offer;
  }

  async signIn(credential: Credential, device: Device, onStep: (step: Step) => void): Promise<void> {
    onStep("sealing");
    const sealed = await seal(await this.offer(), this.origin, credential);
    onStep("sending");
    const body = async (): Promise<unknown> => ({
      sealed,
      device_name: device.name,
      carrier: "cookie",
      persistent: device.persistent,
    });
    await this.#holdingCookie(async () => {
      const answer = await this.#fetch({ method: "POST", path: "/api/v1/sessions", body });
      if (!answer.ok) throw new Refusal(await readProblem(answer));
      this.#accessToken = (await json<TokenAnswer>(answer)).access_token;
    });
  }

  /** A fresh access token by the cookie. A refusal means that there is no session any more. */
  async refresh(): Promise<void> {
    await this.#holdingCookie(async () => {
      const body = async (): Promise<unknown> => ({});
      const answer = await this.#fetch({ method: "POST", path: "/api/v1/sessions/refresh", body });
      if (!answer.ok) throw await refreshRefusal(answer);
      this.#accessToken = (await json<TokenAnswer>(answer)).access_token;
    });
  }

  async me(): Promise<Account> {
    return json<Account>(await this.#call({ method: "GET", path: "/api/v1/me" }));
  }

  async sessions(): Promise<readonly Session[]> {
    const answer = await this.#call({ method: "GET", path: "/api/v1/me/sessions" });
    return (await json<{ sessions: readonly Session[] }>(answer)).sessions;
  }

  async endSession(id: string): Promise<void> {
    await this.#call({ method: "DELETE", path: `/api/v1/me/sessions/${encodeURIComponent(id)}` });
  }

  /** Ends all sessions but this one; says how many. */
  async endOtherSessions(): Promise<number> {
    const answer = await this.#call({ method: "DELETE", path: "/api/v1/me/sessions" });
    return (await json<{ sessions_ended: number }>(answer)).sessions_ended;
  }

  /** The rooms one may enter, with who is there now. */
  async rooms(): Promise<readonly Room[]> {
    const rooms: Room[] = [];
    let path = "/api/v1/rooms";
    for (;;) {
      const page = await json<{ rooms: readonly Room[]; next?: string }>(await this.#call({ method: "GET", path }));
      rooms.push(...page.rooms);
      if (page.next === undefined) return rooms;
      path = `/api/v1/rooms?after=${encodeURIComponent(page.next)}`;
    }
  }

  async changePassword(current: string, next: string): Promise<void> {
    const body = async (): Promise<unknown> => ({
      sealed: await seal(await this.offer(), this.origin, { current_password: current, new_password: next }),
    });
    await this.#call({ method: "PUT", path: "/api/v1/me/password", body });
  }

  /** What somebody sees of an appliance that nobody claimed. */
  async setupFacts(): Promise<SetupFacts> {
    return json<SetupFacts>(await this.#open({ method: "GET", path: "/api/v1/setup" }));
  }

  async fixScope(code: string, names: readonly string[], networks: readonly string[]): Promise<Root> {
    const body = async (): Promise<unknown> => ({ code, names, networks });
    return json<Root>(await this.#open({ method: "PUT", path: "/api/v1/setup/scope", body }));
  }

  async claim(
    code: string,
    operator: { readonly user_name: string; readonly display_name: string },
    password: string,
    recoveryPublicKey: string,
    rootFingerprint: string,
  ): Promise<Claimed> {
    const body = async (): Promise<unknown> => ({
      code,
      operator,
      sealed: await seal(await this.offer(), this.origin, { new_password: password }),
      recovery_public_key: recoveryPublicKey,
      root_fingerprint: rootFingerprint,
    });
    return json<Claimed>(await this.#open({ method: "POST", path: "/api/v1/setup/claim", body }));
  }

  /** The words of which recovery kits are made. */
  async recoveryWords(): Promise<readonly string[]> {
    const answer = await this.#open({ method: "GET", path: "/assets/words.txt" });
    return (await answer.text()).split("\n");
  }

  /** Sets a new password by a one-time link; answers whose it is. */
  async recover(token: string, password: string): Promise<string> {
    const body = async (): Promise<unknown> => ({
      token,
      sealed: await seal(await this.offer(), this.origin, { new_password: password }),
    });
    const answer = await this.#open({ method: "POST", path: "/api/v1/recovery", body });
    return (await json<{ user_name: string }>(answer)).user_name;
  }

  /** Recovery links of the last thirty days, for operators. */
  async recoveries(): Promise<readonly Recovery[]> {
    const answer = await this.#call({ method: "GET", path: "/api/v1/system/notices" });
    return (await json<{ recoveries: readonly Recovery[] }>(answer)).recoveries;
  }

  async signOut(): Promise<void> {
    try {
      await this.#call({ method: "DELETE", path: "/api/v1/session" });
    } catch (thrown) {
      // The session had ended already, which is what was asked for.
      if (failureOf(thrown).kind !== "signed-out") throw thrown;
    }
    this.#accessToken = null;
  }

  /** What the API answers to anybody. */
  async open<T>(path: string): Promise<T> {
    const answer = await this.#fetch({ method: "GET", path });
    if (!answer.ok) throw new Refusal(await readProblem(answer));
    return json<T>(answer);
  }

  /** What the API answers to whoever is signed in. */
  async get<T>(path: string): Promise<T> {
    return json<T>(await this.#call({ method: "GET", path }));
  }

  /** A change by whoever is signed in, and what there is after it. */
  async send<T>(method: "POST" | "PUT" | "PATCH", path: string, body: unknown): Promise<T> {
    return json<T>(await this.#call({ method, path, body: async () => body }));
  }

  /** With the bearer; on a 401 refreshes once and tries once more. */
  async #call(call: Call): Promise<Response> {
    if (this.#accessToken === null) await this.refresh();
    const first = await this.#fetch(call);
    if (first.ok) return first;
    const failure = await readProblem(first);
    if (failure.kind !== "refused" || failure.problem.status !== 401) throw new Refusal(failure);
    await this.refresh();
    const second = await this.#fetch(call);
    if (second.ok) return second;
    // With a token this fresh, a 401 says that the session ended in between.
    throw new Refusal(second.status === 401 ? { kind: "signed-out" } : await readProblem(second));
  }

  /** What needs nobody to be signed in. */
  async #open(call: Call): Promise<Response> {
    const answer = await this.#fetch(call);
    if (!answer.ok) throw new Refusal(await readProblem(answer));
    return answer;
  }

  async #fetch(call: Call): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json, application/problem+json" };
    if (this.#accessToken !== null) headers["Authorization"] = `Bearer ${this.#accessToken}`;
    const init: RequestInit = {
      method: call.method,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: timeout(ANSWER_TIMEOUT_MS),
    };
    if (call.body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(await call.body());
    }
    return fetch(call.path, init).catch(() => {
      throw new Refusal({ kind: "unreachable" });
    });
  }

  async #holdingCookie(work: () => Promise<void>): Promise<void> {
    await navigator.locks.request(COOKIE_LOCK, work);
  }
}

/** No cookie, or one that is no longer good: the session is over. Anything else is a hindrance that may pass. */
async function refreshRefusal(answer: Response): Promise<Refusal> {
  if (answer.status === 401 || answer.status === 400) return new Refusal({ kind: "signed-out" });
  return new Refusal(await readProblem(answer));
}

async function json<T>(answer: Response): Promise<T> {
  try {
    return (await answer.json()) as T;
  } catch (thrown) {
    throw new Refusal({ kind: thrown instanceof SyntaxError ? "unreadable" : "unreachable" });
  }
}

/** `AbortSignal.timeout` is newer than the browsers that must be able to say that they are too old. */
function timeout(milliseconds: number): AbortSignal {
  const abort = new AbortController();
  setTimeout(() => abort.abort(), milliseconds);
  return abort.signal;
}
