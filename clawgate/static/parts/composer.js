// @ts-check
/** The field that messages are written in: Enter sends, and its height follows the text. */

import { hook } from "./dom.js";

const MAX_INPUT_PX = 240;

/**
 * @param {(text: string) => void} onSend
 * @param {() => void} onResize
 */
export function mountComposer(onSend, onResize) {
  const input = /** @type {HTMLTextAreaElement} */ (hook(document, "input"));

  /** @param {string} text */
  function set(text) {
    input.value = text;
    fit();
  }

  function fit() {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight, MAX_INPUT_PX)}px`;
    onResize();
  }

  function focus() {
    input.focus({ preventScroll: true });
  }

  function send() {
    const text = input.value.trim();
    if (text !== "") {
      set("");
      onSend(text);
    }
    focus();
  }

  hook(document, "send").addEventListener("click", send);
  input.addEventListener("input", fit);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    send();
  });
  return { set, focus };
}

/**
 * Tell whether a key belongs to an input method. Safari ends a composition before the keydown that ends it: 229.
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;
