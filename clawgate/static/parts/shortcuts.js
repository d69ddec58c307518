// @ts-check
/** The list of keys: a button opens it, and `?` outside of fields. */

import { hook } from "./dom.js";
import { isComposing, isDialogOpen, isField } from "./keys.js";
import { mountBackdrop } from "./settings.js";

/** Mount the list. */
export function mountShortcuts() {
  const dialog = /** @type {HTMLDialogElement} */ (hook(document, "shortcuts"));
  const open = () => dialog.showModal();
  hook(document, "shortcuts-open").addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" && event.key !== "？") return;
    if (isComposing(event) || isDialogOpen() || isField(event.target)) return;
    event.preventDefault();
    open();
  });
  mountBackdrop(dialog);
}
