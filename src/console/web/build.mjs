// SPDX-License-Identifier: AGPL-3.0-or-later
// Writes dist/, which is committed and embedded by the appliance, so that `cargo build` needs no Node.js.
// The same sources and the same locked packages give the same bytes: no dates, no paths, no source maps.

import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// The notice that the MIT licence of @hpke/core and @hpke/common asks for travels with the bundle.
const core = JSON.parse(await readFile(here("node_modules/@hpke/core/package.json"), "utf8"));
const common = JSON.parse(await readFile(here("node_modules/@hpke/common/package.json"), "utf8"));
// qrcode-generator comes without a file of its licence; its sources name it.
const qr = JSON.parse(await readFile(here("node_modules/qrcode-generator/package.json"), "utf8"));
const mit = (await readFile(here("node_modules/@hpke/core/LICENSE"), "utf8")).trim();
const notice = [
  "/*! Conclave console. SPDX-License-Identifier: AGPL-3.0-or-later. Source code: /source",
  `Includes @hpke/core ${core.version} and @hpke/common ${common.version}, and`,
  `qrcode-generator ${qr.version}, Copyright (c) 2009 Kazuhiko Arase, all under the MIT licence:`,
  "",
  mit,
  "*/",
].join("\n");

await rm(here("dist"), { recursive: true, force: true });
await mkdir(here("dist"), { recursive: true });
await build({
  absWorkingDir: here("."),
  entryPoints: { console: "main.ts" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  charset: "utf8",
  // Older than what sealing needs, so that a browser that is too old can still say so.
  target: ["chrome100", "firefox100", "safari15.4"],
  legalComments: "none",
  banner: { js: notice },
});
await build({
  absWorkingDir: here("."),
  entryPoints: { console: "styles/console.css" },
  outdir: "dist",
  bundle: true,
  minify: true,
  charset: "utf8",
  target: ["chrome100", "firefox100", "safari15.4"],
  legalComments: "none",
  banner: { css: "/*! Conclave console. SPDX-License-Identifier: AGPL-3.0-or-later */" },
});
await copyFile(here("icon.svg"), here("dist/icon.svg"));
