// SPDX-License-Identifier: Apache-2.0 OR MIT
// A recovery kit (docs/files.md, "Recovery"): an X25519 key pair whose private half becomes 24 words of BIP 39. It is
// made here, in the browser, and leaves it on paper alone; the appliance is told the public half.

import { type Bytes, fromBase64Url, toBase64Url } from "./bytes";
import { Refusal } from "./failure";

export interface Kit {
  readonly words: readonly string[];
  /** For the claim. */
  readonly publicKey: string;
}

const WORDS = 24;
const LIST = 2048;
const BITS = 11;

export async function makeKit(list: readonly string[]): Promise<Kit> {
  const pair = (await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"])) as CryptoKeyPair;
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  if (jwk.d === undefined || jwk.x === undefined) throw new Refusal({ kind: "unsupported", missing: ["X25519"] });
  const seed = fromBase64Url(jwk.d);
  const words = await wordsOf(seed, list);
  const publicKey = toBase64Url(fromBase64Url(jwk.x));
  seed.fill(0);
  return { words, publicKey };
}

/** 256 bits and the first 8 of their SHA-256, 11 bits a word. */
export async function wordsOf(seed: Bytes, list: readonly string[]): Promise<string[]> {
  if (list.length !== LIST || seed.length !== 32) throw new Refusal({ kind: "unreadable" });
  const checksum = new Uint8Array(await crypto.subtle.digest("SHA-256", seed))[0] ?? 0;
  const bits = [...seed, checksum].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return Array.from({ length: WORDS }, (_, at) => list[parseInt(bits.slice(at * BITS, (at + 1) * BITS), 2)] ?? "");
}

/** Three different places, in order. */
export function placesToProve(): number[] {
  const places = new Set<number>();
  while (places.size < 3) {
    const [drawn] = crypto.getRandomValues(new Uint32Array(1));
    places.add(((drawn ?? 0) % WORDS) + 1);
  }
  return [...places].sort((a, b) => a - b);
}
