// SPDX-License-Identifier: AGPL-3.0-or-later
// What an account is shown. What it may do is the appliance's to say, each time it is asked.

import type { Account } from "../sdk/types";

/** The reserved workspace, whose accounts run the appliance and have no rooms. */
const OPERATORS = "system";

export function isOfSystem(account: Account): boolean {
  return account.workspace.name === OPERATORS;
}

export function isOperator(account: Account): boolean {
  return isOfSystem(account) && account.role === "admin";
}

export function isAdmin(account: Account): boolean {
  return account.role === "admin";
}

export function mayChangePolicy(account: Account): boolean {
  return !isOfSystem(account) && account.permissions.includes("workspace.policy");
}
