// SPDX-License-Identifier: AGPL-3.0-or-later
// A QR code as an SVG of one path, so that it prints sharp and needs no style of its own.

import qrcode from "qrcode-generator";

const SVG = "http://www.w3.org/2000/svg";
/** Light modules around a code (ISO/IEC 18004). */
const QUIET = 4;

export function qrCode(text: string, label: string): SVGElement {
  const code = qrcode(0, "M");
  code.addData(text);
  code.make();
  const count = code.getModuleCount();
  let dark = "";
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < count; column += 1) {
      if (code.isDark(row, column)) dark += `M${column + QUIET} ${row + QUIET}h1v1h-1z`;
    }
  }
  const size = String(count + 2 * QUIET);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "qr");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", dark);
  svg.append(path);
  return svg;
}
