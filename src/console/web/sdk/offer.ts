// SPDX-License-Identifier: Apache-2.0 OR MIT
// What an appliance offers to seal to (docs/sign-in.md, 1), and the checks before anything is sealed:
// the identity key is the expected one, and it signed the sealing key.

import { type Bytes, concat, equal, fromBase64Url, hex, i64, utf8, uuidBytes } from "./bytes";
import { Refusal } from "./failure";

export interface Offer {
  readonly identityKey: Bytes;
  /** SHA-256 of the identity key. */
  readonly fingerprint: Bytes;
  readonly keyId: string;
  readonly sealingKey: Bytes;
  readonly challenge: Bytes;
}

export interface OfferAnswer {
  readonly identity_key: string;
  readonly sealing_key: {
    readonly id: string;
    readonly public_key: string;
    readonly not_after: string;
    readonly signature: string;
  };
  readonly challenge: string;
}

/**
 * How wrong this device's clock may be before a sealing key counts as expired. Headsets and laptops in a
 * closed laboratory have no time server; the one-time challenge is what stops a replay, not this date.
 */
const CLOCK_TOLERANCE_MS = 24 * 3_600_000;

const KEY_LENGTH = 32;
const DOMAIN = concat(utf8("conclave-sealing-key-1"), new Uint8Array(1));

/** Parses and verifies. `expected` is the identity key known from elsewhere, or null at first sight. */
export async function verifyOffer(answer: OfferAnswer, expected: Bytes | null, now = Date.now()): Promise<Offer> {
  const identityKey = fromBase64Url(answer.identity_key);
  const sealingKey = fromBase64Url(answer.sealing_key.public_key);
  const notAfter = Date.parse(answer.sealing_key.not_after);
  if (identityKey.length !== KEY_LENGTH || sealingKey.length !== KEY_LENGTH || Number.isNaN(notAfter)) {
    throw new Refusal({ kind: "unreadable" });
  }
  const fingerprint = await fingerprintOf(identityKey);
  if (expected !== null && !equal(expected, identityKey)) {
    throw new Refusal({
      kind: "other-appliance",
      expected: spellFingerprint(await fingerprintOf(expected)),
      found: spellFingerprint(fingerprint),
    });
  }
  const signed = concat(DOMAIN, uuidBytes(answer.sealing_key.id), sealingKey, i64(notAfter));
  const signature = fromBase64Url(answer.sealing_key.signature);
  const key = await crypto.subtle.importKey("raw", identityKey, { name: "Ed25519" }, false, ["verify"]);
  const holds = await crypto.subtle.verify({ name: "Ed25519" }, key, signature, signed);
  if (!holds || now > notAfter + CLOCK_TOLERANCE_MS) throw new Refusal({ kind: "bad-sealing-key" });
  return { identityKey, fingerprint, keyId: answer.sealing_key.id, sealingKey, challenge: fromBase64Url(answer.challenge) };
}

/** A pin is an identity key in base64url. */
export function parsePin(text: string): Bytes {
  try {
    const key = fromBase64Url(text);
    if (key.length === KEY_LENGTH) return key;
  } catch {
    // Falls through to the one refusal.
  }
  throw new Refusal({ kind: "bad-pin" });
}

export async function fingerprintOf(identityKey: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", identityKey));
}

/** The first 16 bytes in eight groups of four digits, as printed by the appliance. */
export function spellFingerprint(fingerprint: Bytes): string {
  return (hex(fingerprint.slice(0, 16)).match(/.{4}/g) ?? []).join(" ");
}
