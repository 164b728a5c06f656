// SPDX-License-Identifier: Apache-2.0 OR MIT
// The answers of the member API that the console reads, as docs/sign-in.md and docs/openapi.json give them.

export interface Account {
  readonly id: string;
  readonly user_name: string;
  readonly display_name: string;
  readonly role: string;
  readonly status: string;
  readonly workspace: { readonly id: string; readonly name: string };
  readonly permissions: readonly string[];
  /** Those of them that its role does not carry. */
  readonly by_hand: readonly string[];
  /** Somebody else may have had a token of it then. */
  readonly session_replayed_at?: string;
}

export interface Session {
  readonly id: string;
  readonly device_name: string | null;
  readonly created_at: string;
  readonly last_seen_at: string;
  readonly expires_at: string;
  /** It stays signed in when its browser is closed. */
  readonly persistent: boolean;
  readonly current: boolean;
}

export interface Present {
  readonly display_name: string;
  readonly muted: boolean;
  readonly silenced: boolean;
}

export interface Room {
  readonly id: string;
  readonly name: string;
  readonly policy: { readonly capacity: number };
  readonly participants: readonly Present[];
}

/** A root that the appliance made and does not present yet. */
export interface Root {
  /** SHA-256 in hex. */
  readonly root_fingerprint: string;
  readonly names: readonly string[];
  readonly networks: readonly string[];
}

/** What somebody sees of an appliance that nobody claimed. */
export interface SetupFacts {
  readonly appliance: string;
  readonly identity_key: string;
  readonly tries_left: number;
  readonly names: readonly string[];
  readonly networks: readonly string[];
  readonly root?: Root;
}

export interface Claimed {
  readonly operator: Account;
  readonly root_fingerprint: string;
  readonly urls: readonly string[];
}

/** A link by which an operator set, or may set, a new password. */
export interface Recovery {
  readonly user_name: string;
  readonly asked_at: string;
  readonly used_at?: string;
}

export interface TokenAnswer {
  readonly access_token: string;
}
