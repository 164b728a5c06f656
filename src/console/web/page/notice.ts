// SPDX-License-Identifier: AGPL-3.0-or-later
// A failure in words: what happened, why, and the way out. The appliance's own words come first; ours are
// for what it could not say itself.

import { text } from "../lang/index";
import type { Failure } from "../sdk/failure";

export interface Notice {
  readonly title: string;
  readonly detail: string;
  readonly wayOut: string;
  readonly requestId: string;
}

function own(title: string, detail: string, wayOut: string): Notice {
  return { title, detail, wayOut, requestId: "" };
}

export function noticeOf(failure: Failure): Notice {
  const words = text.notice;
  switch (failure.kind) {
    case "refused": {
      const { problem } = failure;
      return {
        title: words.titles[problem.code] ?? (problem.title || words.refused.title),
        detail: problem.detail || words.refused.detail(problem.status),
        wayOut: problem.wayOut,
        requestId: problem.requestId,
      };
    }
    case "unreachable":
      return own(words.unreachable.title, words.unreachable.detail, words.unreachable.wayOut);
    case "unreadable":
      return own(words.unreadable.title, words.unreadable.detail, words.unreadable.wayOut);
    case "signed-out":
      return own(words.signedOut.title, words.signedOut.detail, words.signedOut.wayOut);
    case "other-appliance":
      return own(
        words.otherAppliance.title,
        words.otherAppliance.detail(failure.expected, failure.found),
        words.otherAppliance.wayOut,
      );
    case "bad-sealing-key":
      return own(words.badSealingKey.title, words.badSealingKey.detail, words.badSealingKey.wayOut);
    case "bad-pin":
      return own(words.badPin.title, words.badPin.detail, words.badPin.wayOut);
    case "unsupported":
      return own(
        words.unsupported.title,
        words.unsupported.detail(failure.missing.join(", ")),
        words.unsupported.wayOut,
      );
  }
}

/** Trying the same again can help. */
export function isPassing(failure: Failure): boolean {
  return failure.kind === "unreachable" || failure.kind === "unreadable" || (failure.kind === "refused" && failure.problem.status >= 500);
}
