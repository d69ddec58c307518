// @ts-check
/** The dialog that asks for the token, where the gateway wants one. */

import { hook } from "./dom.js";

/** What no token has, and no header takes: blanks, and what a copied text brings along unseen. */
const FOREIGN = /[^!-~]/g;

/**
 * Ask for the token and keep it.
 * @param {ReturnType<typeof import("./storage.js").kept>} store
 * @param {() => void} onSaved
 * @returns {(isWrong: boolean) => void} opens the dialog
 */
export function mountToken(store, onSaved) {
  const dialog = /** @type {HTMLDialogElement} */ (hook(document, "token"));
  const input = /** @type {HTMLInputElement} */ (hook(dialog, "token-input"));
  hook(dialog, "token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    store.set(input.value.replace(FOREIGN, ""));
    input.value = "";
    dialog.close();
    onSaved();
  });
  return (isWrong) => {
    hook(dialog, "token-wrong").hidden = !isWrong;
    if (!dialog.open) dialog.showModal();
  };
}
