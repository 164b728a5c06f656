// SPDX-License-Identifier: AGPL-3.0-or-later
// A button that counts the seconds until it works again. The count is in the button only and not in a
// live region: a screen reader must not read out every second.

import { text } from "../lang/index";
import { setBusy } from "./dom";

/** Ends when the button works again and has its old label. */
export function countdown(button: HTMLButtonElement, seconds: number, label: string): Promise<void> {
  const until = performance.now() + seconds * 1000;
  setBusy(button, true);
  return new Promise((done) => {
    const tick = (): void => {
      const left = Math.ceil((until - performance.now()) / 1000);
      if (left > 0) {
        button.textContent = text.wait(left);
        setTimeout(tick, 200);
        return;
      }
      button.textContent = label;
      setBusy(button, false);
      done();
    };
    tick();
  });
}
