// SPDX-License-Identifier: AGPL-3.0-or-later
// Moments as the person writes them.

import { locale } from "../lang/index";
import { h } from "./dom";

const FORMAT = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

/** A `<time>`; what is not a date is shown as it came. */
export function moment(iso: string): HTMLElement {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return h("span", {}, iso);
  return h("time", { datetime: iso }, FORMAT.format(at));
}
