// SPDX-License-Identifier: AGPL-3.0-or-later
// What is wrong with a form that sets a new password: what is missing, and a repeated password that is another one.

import type { Fault } from "./problem";
import type { TextField } from "./text-field";

interface NewPassword {
  readonly next: TextField;
  readonly repeat: TextField;
  readonly missing: { readonly next: string; readonly repeat: string; readonly differ: string };
}

/** `others`: what the form needs besides, as it stands before the new password. */
export function newPasswordFaults({ next, repeat, missing }: NewPassword, others: readonly Fault[] = []): Fault[] {
  const needed = [...others, { field: next, message: missing.next }, { field: repeat, message: missing.repeat }];
  const faults = needed.filter(({ field }) => field.value === "");
  if (faults.length === 0 && next.value !== repeat.value) faults.push({ field: repeat, message: missing.differ });
  return faults;
}
