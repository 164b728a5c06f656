// SPDX-License-Identifier: AGPL-3.0-or-later
// Chooses the language once, before the first element is made: the first of the person's languages that
// we speak, else the one the page was served in. Nothing is remembered, because nothing is stored.

import { type Text, en } from "./en";
import { nl } from "./nl";

const LANGUAGES: Readonly<Record<string, Text>> = { en, nl };

function choose(): string {
  for (const wanted of [...navigator.languages, document.documentElement.lang]) {
    const primary = wanted.toLowerCase().split("-")[0] ?? "";
    if (primary in LANGUAGES) return primary;
  }
  return "en";
}

export const language: string = choose();
export const text: Text = LANGUAGES[language] ?? en;
/** For dates: the person's own regional variety of the language we speak (`en-GB`, not just `en`). */
export const locale: string = navigator.languages.find((wanted) => wanted.toLowerCase().startsWith(language)) ?? language;

/** Puts the few words that the page was served with into the chosen language. */
export function localisePage(): void {
  document.documentElement.lang = language;
  const served: Readonly<Record<string, string>> = {
    skip: text.skip,
    "footer.operator": text.footer.operator,
    "footer.source": text.footer.source,
    "footer.version": text.footer.version,
  };
  for (const node of document.querySelectorAll<HTMLElement>("[data-text]")) {
    const words = served[node.dataset["text"] ?? ""];
    if (words !== undefined) node.textContent = words;
  }
}

export function titlePage(title: string): void {
  const appliance = document.documentElement.dataset["appliance"] ?? "";
  document.title = appliance === "" ? title : `${title} · ${appliance}`;
}
