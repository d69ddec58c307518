// @ts-check
/** What the keys and the pointer of this device mean. */

/**
 * Tell whether a key belongs to an input method. Safari ends a composition before the keydown that ends it: 229.
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** Tell whether fingers write here: Enter is the only way to a new line then, and a focus opens the keyboard. */
export const isTouch = () => window.matchMedia("(pointer: coarse)").matches;

/** @param {EventTarget | null} target @returns {boolean} whether typed characters are text there */
export const isField = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox])"));

/** @returns {boolean} whether a dialog is open, which has the keys for itself */
export const isDialogOpen = () => document.querySelector("dialog[open]") !== null;
