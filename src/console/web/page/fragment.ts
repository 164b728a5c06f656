// SPDX-License-Identifier: AGPL-3.0-or-later
// What the address says after `#`, which never leaves the browser: the pin and workspace of an
// invitation, and a note from the page that sent us here.

export interface Fragment {
  /** Identity key in base64url. */
  readonly pin: string | null;
  readonly workspace: string | null;
  readonly note: string | null;
}

export function readFragment(): Fragment {
  const parts = new URLSearchParams(location.hash.slice(1));
  return { pin: parts.get("pin"), workspace: parts.get("workspace"), note: parts.get("note") };
}

/** Whether this page is being left: of two reasons to go the first one counts. */
let leaving = false;

/** The address of another page, keeping the pin: what was expected here is expected there too. */
export function keeping(path: string, note: string | null = null): string {
  const from = readFragment();
  const parts = new URLSearchParams();
  if (note !== null) parts.set("note", note);
  if (from.pin !== null) parts.set("pin", from.pin);
  if (from.workspace !== null) parts.set("workspace", from.workspace);
  const fragment = parts.toString();
  return fragment === "" ? path : `${path}#${fragment}`;
}

export function go(path: string, note: string | null = null): void {
  if (leaving) return;
  leaving = true;
  location.replace(keeping(path, note));
}

/** A note is said once: a reload must not say it again. */
export function takeNote(): string | null {
  const { note } = readFragment();
  if (note === null) return null;
  const parts = new URLSearchParams(location.hash.slice(1));
  parts.delete("note");
  const rest = parts.toString();
  history.replaceState(null, "", location.pathname + (rest === "" ? "" : `#${rest}`));
  return note;
}

/** The skip link moves the focus itself: following it would overwrite the fragment, which may hold a pin. */
export function keepFragment(): void {
  document.querySelector(".skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main")?.focus();
  });
}
