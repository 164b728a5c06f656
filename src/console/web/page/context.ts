// SPDX-License-Identifier: AGPL-3.0-or-later
// The one client of this page, and what the address demands of it.

import { Api } from "../sdk/api";
import { parsePin } from "../sdk/offer";
import { Refusal } from "../sdk/failure";
import { missingFeatures } from "../sdk/support";
import { readFragment } from "./fragment";

export const api = new Api(location.origin);

/** Before anything is sent: the browser can do it, and the pin of the address is in force. Throws a `Refusal`. */
export async function prepare(): Promise<"pinned" | "unpinned"> {
  const missing = await missingFeatures();
  if (missing.length > 0) throw new Refusal({ kind: "unsupported", missing });
  const { pin } = readFragment();
  if (pin === null) return "unpinned";
  api.pin(parsePin(pin));
  // With a pin, who answers here is settled before any other call is made.
  await api.offer();
  return "pinned";
}
