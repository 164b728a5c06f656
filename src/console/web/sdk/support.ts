// SPDX-License-Identifier: Apache-2.0 OR MIT
// Can this browser seal a credential at all? Asks by doing, because no property says so.

/** The names of what is missing; empty when everything is there. */
export async function missingFeatures(): Promise<string[]> {
  // Outside a secure context `crypto.subtle` is absent, whatever its type says.
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (subtle === undefined) return ["WebCrypto"];
  const missing: string[] = [];
  await subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]).catch(() => missing.push("X25519"));
  await subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]).catch(() => missing.push("Ed25519"));
  if (!("locks" in navigator)) missing.push("Web Locks");
  return missing;
}
