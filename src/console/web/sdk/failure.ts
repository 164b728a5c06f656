// SPDX-License-Identifier: Apache-2.0 OR MIT
// Everything that can go wrong between a page and its appliance, as one union. It knows no language:
// whoever shows a failure finds the words.

/** RFC 9457, with the members of docs/sign-in.md. */
export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly wayOut: string;
  readonly requestId: string;
}

export type Failure =
  /** The appliance said no; `retryAfter` is in seconds. */
  | { readonly kind: "refused"; readonly problem: Problem; readonly retryAfter: number | null }
  /** No answer, or half of one. */
  | { readonly kind: "unreachable" }
  /** An answer that is not what the contract says. */
  | { readonly kind: "unreadable" }
  /** There is no session, or it has ended. */
  | { readonly kind: "signed-out" }
  /** The appliance is not the one that was expected; both are fingerprints. */
  | { readonly kind: "other-appliance"; readonly expected: string; readonly found: string }
  /** The sealing key is not signed by the identity key, or is long past its end. */
  | { readonly kind: "bad-sealing-key" }
  /** The pin in the address is not an identity key. */
  | { readonly kind: "bad-pin" }
  /** The browser lacks these. */
  | { readonly kind: "unsupported"; readonly missing: readonly string[] };

export class Refusal extends Error {
  constructor(readonly failure: Failure) {
    super(failure.kind === "refused" ? failure.problem.code : failure.kind);
    this.name = "Refusal";
  }
}

/** What a caught value means; a value we did not throw ourselves is an answer we could not read. */
export function failureOf(thrown: unknown): Failure {
  return thrown instanceof Refusal ? thrown.failure : { kind: "unreadable" };
}

export async function readProblem(response: Response): Promise<Failure> {
  let body: Record<string, unknown> = {};
  try {
    const parsed: unknown = await response.json();
    if (typeof parsed === "object" && parsed !== null) body = parsed as Record<string, unknown>;
  } catch {
    // A proxy's own error page: the status alone has to do.
  }
  const text = (name: string): string => (typeof body[name] === "string" ? body[name] : "");
  return {
    kind: "refused",
    problem: {
      code: text("code"),
      status: response.status,
      title: text("title"),
      detail: text("detail"),
      wayOut: text("way_out"),
      requestId: text("request_id"),
    },
    retryAfter: retryAfter(response.headers.get("Retry-After")),
  };
}

/** Seconds to wait; the header is either a number of them or a date (RFC 9110, 10.2.3). */
export function retryAfter(header: string | null, now: number = Date.now()): number | null {
  if (header === null) return null;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - now) / 1000));
}
