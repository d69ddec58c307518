// @ts-check
/** The dialog that asks for the token, where the gateway wants one, and forgets it again. */

import { hook } from "./dom.js";

/** What no token has, and no header takes: blanks, and what a copied text brings along unseen. */
const FOREIGN = /[^!-~]/g;

/**
 * Ask for the token and keep it.
 * @param {ReturnType<typeof import("./storage.js").kept>} store
 * @param {(isForgotten: boolean) => void} onChange
 * @returns {(isWrong: boolean) => void} opens the dialog
 */
export function mountToken(store, onChange) {
  const dialog = /** @type {HTMLDialogElement} */ (hook(document, "token"));
  const input = /** @type {HTMLInputElement} */ (hook(dialog, "token-input"));

  /** @param {string | null} token */
  function change(token) {
    store.set(token);
    input.value = "";
    dialog.close();
    onChange(token === null);
  }

  hook(dialog, "token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    change(input.value.replace(FOREIGN, ""));
  });
  hook(dialog, "token-forget").addEventListener("click", () => change(null));
  hook(dialog, "token-close").addEventListener("click", () => dialog.close());
  // closed by a mouse, Chromium gives the field the focus back without its keyboard
  dialog.addEventListener("close", () => {
    const focused = document.activeElement;
    if (!(focused instanceof HTMLElement)) return;
    focused.blur();
    focused.focus({ preventScroll: true });
  });
  return (isWrong) => {
    hook(dialog, "token-wrong").hidden = !isWrong;
    hook(dialog, "token-forget").hidden = !store.get();
    if (!dialog.open) dialog.showModal();
  };
}
