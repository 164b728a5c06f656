// SPDX-License-Identifier: AGPL-3.0-or-later
// Makes elements from parts. Text is always a text node, so nothing here can become markup.

type Child = Node | string | null;

type Attributes = Readonly<Record<string, string | boolean | undefined>>;

/** `true` sets an empty attribute, `false` and `undefined` leave it out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (typeof value === "string") node.setAttribute(name, value);
  }
  for (const child of children) if (child !== null) node.append(child);
  return node;
}

/**
 * A button that waits stays focusable: `disabled` would drop the focus of whoever pressed it with the keyboard.
 * Whoever handles its action asks `isBusy` first.
 */
export function setBusy(button: HTMLButtonElement, busy: boolean): void {
  if (busy) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

export function isBusy(button: HTMLButtonElement): boolean {
  return button.getAttribute("aria-disabled") === "true";
}
