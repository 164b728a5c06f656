// SPDX-License-Identifier: AGPL-3.0-or-later
// A name for this device when the person gives none: "Firefox on Linux". Coarse on purpose; it is for
// telling one's own sessions apart, not for telling people apart.

import { text } from "../lang/index";

/** In order: the first that fits wins, since every browser claims to be its ancestors too. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/OculusBrowser\//, "Quest Browser"],
  [/PicoBrowser\//, "Pico Browser"],
  [/Edg(e|A|iOS)?\//, "Edge"],
  [/(Firefox|FxiOS)\//, "Firefox"],
  [/(HeadlessChrome|Chrome|CriOS)\//, "Chrome"],
  [/Safari\//, "Safari"],
];

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/Quest/, "Quest"],
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/CrOS/, "ChromeOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux/, "Linux"],
];

function first(table: readonly (readonly [RegExp, string])[], agent: string): string | undefined {
  return table.find(([pattern]) => pattern.test(agent))?.[1];
}

export function deviceName(agent: string = navigator.userAgent): string {
  return text.device.on(first(BROWSERS, agent) ?? text.device.browser, first(SYSTEMS, agent) ?? text.device.unknown);
}
