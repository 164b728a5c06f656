// SPDX-License-Identifier: Apache-2.0 OR MIT
// Seals a credential to the appliance's key (docs/sign-in.md, 2): HPKE, RFC 9180, mode base,
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, empty AAD.

import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { type Bytes, concat, frame, toBase64Url, utf8, uuidBytes } from "./bytes";
import type { Offer } from "./offer";

export interface Sealed {
  readonly key_id: string;
  readonly challenge: string;
  readonly origin: string;
  readonly encapsulated_key: string;
  readonly ciphertext: string;
}

export interface Credential {
  readonly workspace: string;
  readonly user_name: string;
  readonly password: string;
}

export interface PasswordChange {
  readonly current_password: string;
  readonly new_password: string;
}

export interface NewPassword {
  readonly new_password: string;
}

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

/** Binds the box to this origin, this key and this challenge, so that it opens nowhere and never again. */
function sealingInfo(offer: Offer, origin: string): Bytes {
  return concat(
    utf8("conclave-sign-in-1"),
    new Uint8Array(1),
    frame(utf8(origin)),
    uuidBytes(offer.keyId),
    frame(offer.challenge),
  );
}

export async function seal(offer: Offer, origin: string, secret: Credential | NewPassword | PasswordChange): Promise<Sealed> {
  const sender = await suite.createSenderContext({
    recipientPublicKey: await suite.kem.deserializePublicKey(offer.sealingKey.buffer),
    info: sealingInfo(offer, origin).buffer,
  });
  const plaintext = utf8(JSON.stringify(secret));
  const ciphertext = new Uint8Array(await sender.seal(plaintext.buffer));
  plaintext.fill(0);
  return {
    key_id: offer.keyId,
    challenge: toBase64Url(offer.challenge),
    origin,
    encapsulated_key: toBase64Url(new Uint8Array(sender.enc)),
    ciphertext: toBase64Url(ciphertext),
  };
}
