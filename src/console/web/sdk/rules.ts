// SPDX-License-Identifier: Apache-2.0 OR MIT
// What a workspace permits, its agreement, what takes two persons, and who runs the appliance: the answers of the API
// as docs/openapi.json gives them, and how to ask.

import type { Api } from "./api";

export interface Acceptance {
  readonly sha256: string;
  readonly person: string;
  readonly accepted_at: string;
}

export interface Agreement {
  readonly text: string;
  readonly sha256: string;
  readonly accepted: boolean;
  /** What was accepted is another text than this one. */
  readonly outdated: boolean;
  /** The newest first. */
  readonly acceptances: readonly Acceptance[];
}

export interface Policy {
  readonly voice: boolean;
  readonly screen_share: boolean;
  readonly guests: boolean;
  readonly plain_sign_in: boolean;
  readonly single_device: boolean;
  readonly idle_hours: number;
  readonly session_days: number;
  readonly persistent_days: number;
  /** Whether voice is on for the whole appliance. */
  readonly appliance_voice: boolean;
}

export type PolicyChange = Partial<Omit<Policy, "appliance_voice">>;

export interface Approval {
  readonly id: string;
  readonly deed: string;
  readonly target: string;
  readonly reason: string;
  readonly state: string;
  readonly requested_by: string;
  readonly requested_at: string;
  readonly expires_at: string;
  readonly decided_by?: string;
  readonly decided_at?: string;
}

export type Verdict = "approved" | "rejected";

export interface Identity {
  readonly name: string;
  readonly address: string;
  readonly contact: string;
  readonly privacy_contact: string;
}

export interface Authority {
  readonly country: string;
  readonly name: string;
  readonly website: string;
}

/** What everybody may know of who runs the appliance. */
export interface Operator {
  readonly operator: Identity;
  readonly supervisory_authority: Authority;
  readonly residency: string;
}

export interface ApplianceRules extends Operator {
  readonly voice: boolean;
}

export interface ApplianceChange {
  readonly voice?: boolean;
  readonly operator?: Identity;
  readonly supervisory_authority?: string;
  readonly residency?: string;
}

const APPLIANCE = "/api/v1/system/appliance";

export const agreement = (api: Api): Promise<Agreement> => api.get("/api/v1/agreement");

/** Accepts the text with this hash: what is accepted is what was read. */
export const acceptAgreement = (api: Api, sha256: string): Promise<Agreement> =>
  api.send("POST", "/api/v1/agreement/acceptances", { sha256 });

export const policy = (api: Api): Promise<Policy> => api.get("/api/v1/policy");

export const changePolicy = (api: Api, change: PolicyChange): Promise<Policy> => api.send("PATCH", "/api/v1/policy", change);

/** Of one's own workspace, or below `/api/v1/system/workspaces/{id}` of any. The newest first. */
export async function approvals(api: Api, base: string): Promise<readonly Approval[]> {
  return (await api.get<{ approvals: readonly Approval[] }>(`${base}/approvals`)).approvals;
}

export const decide = (api: Api, base: string, id: string, verdict: Verdict): Promise<Approval> =>
  api.send("PUT", `${base}/approvals/${encodeURIComponent(id)}/decision`, { verdict });

export const operator = (api: Api): Promise<Operator> => api.open("/api/v1/operator");

export async function authorities(api: Api): Promise<readonly Authority[]> {
  return (await api.open<{ authorities: readonly Authority[] }>("/api/v1/supervisory-authorities")).authorities;
}

export const appliance = (api: Api): Promise<ApplianceRules> => api.get(APPLIANCE);

export const changeAppliance = (api: Api, change: ApplianceChange): Promise<ApplianceRules> =>
  api.send("PATCH", APPLIANCE, change);
