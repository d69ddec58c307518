// @ts-check
/** The field that messages are written in: Enter sends, its height follows the text, and it takes files. */

import { mountAttachments } from "./attachments.js";
import { hook } from "./dom.js";
import { isComposing, isTouch } from "./keys.js";

const MAX_INPUT_PX = 240;
const LONG = 8000; // characters that fill the highest field in any window; measuring 200 KB takes 0.2 s at each key

/**
 * @typedef {"now" | "queue"} Way to send: now, cutting in, or behind the answer that streams
 *
 * @typedef {object} Desk what the field needs of the page
 * @property {(text: string, images: readonly string[], way: Way) => boolean} send false where it stays in the field
 * @property {() => void} interrupt
 * @property {() => void} editLast
 * @property {() => void} onResize
 * @property {(text: string) => void} onInput the text or the files have changed
 * @property {import("./attachments.js").Limits} limits
 * @property {(key: string, values?: Record<string, string | number>) => void} notice
 * @property {() => import("./words.js").Dictionary} words
 */

/** @param {Desk} desk */
export function mountComposer(desk) {
  const input = /** @type {HTMLTextAreaElement} */ (hook(document, "input"));
  const button = /** @type {HTMLButtonElement} */ (hook(document, "act"));
  let isStreaming = false;
  const attachments = mountAttachments({ ...desk, insert, onChange: changed });

  /**
   * @param {string} text
   * @param {readonly string[]} [images]
   */
  function set(text, images = []) {
    input.value = text;
    attachments.set(images);
    changed();
  }

  /** The text or the files have changed. */
  function changed() {
    fit();
    paintButton();
    desk.onInput(input.value);
  }

  function fit() {
    input.style.height = `${input.value.length > LONG ? MAX_INPUT_PX : Math.min(needed(), MAX_INPUT_PX)}px`;
    desk.onResize();
  }

  /** Measure the height that the text needs. */
  function needed() {
    input.style.height = "auto";
    const { borderTopWidth, borderBottomWidth } = getComputedStyle(input);
    return input.scrollHeight + parseFloat(borderTopWidth) + parseFloat(borderBottomWidth);
  }

  function focus() {
    input.focus({ preventScroll: true });
  }

  /** Put the focus back into the field, unless that would open a keyboard on the screen. */
  function refocus() {
    if (!isTouch()) focus();
  }

  const isEmpty = () => input.value.trim() === "" && attachments.isEmpty();

  /**
   * Put a text where the caret is, on lines of its own.
   * @param {string} text
   */
  function insert(text) {
    const before = input.value.slice(0, input.selectionStart);
    const gap = before === "" || before.endsWith("\n") ? "" : "\n";
    input.setRangeText(gap + text, input.selectionStart, input.selectionEnd, "end");
    changed();
  }

  /** @param {Way} way */
  async function send(way) {
    await attachments.settled();
    const text = input.value.trim();
    if (!isEmpty() && desk.send(text, attachments.images(), way)) set("");
    refocus();
  }

  /** Send, or where nothing is written while an answer streams, stop it. */
  function act() {
    if (button.dataset.act === "stop") desk.interrupt();
    else send("now");
  }

  function paintButton() {
    const name = isStreaming && isEmpty() ? "stop" : "send";
    const word = desk.words()[name === "stop" ? "interrupt" : isStreaming ? "send.cut_in" : "send"] ?? "";
    button.classList.toggle("idle", name === "send" && isEmpty());
    if (button.dataset.act === name && button.title === word) return;
    button.dataset.act = name;
    button.title = word;
    button.setAttribute("aria-label", word);
  }

  hook(document, "send").addEventListener("click", () => send("now"));
  button.addEventListener("click", act);
  input.addEventListener("input", changed);
  input.addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    if (event.key === "ArrowUp" && isEmpty()) {
      event.preventDefault(); // the caret would go to the beginning of what comes
      desk.editLast();
    }
    if (event.key !== "Enter" || event.shiftKey) return;
    const isChord = event.ctrlKey || event.metaKey || event.altKey;
    if (isTouch() && !isChord) return; // a new line
    event.preventDefault();
    send(event.altKey ? "queue" : "now");
  });
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(hook(document, "composer"));

  return {
    set,
    focus,
    refocus,
    images: attachments.images,
    /** Put a text and pictures before what is in the field already. @param {string} text @param {readonly string[]} images */
    putBack(text, images) {
      set([text, input.value].filter((each) => each.trim() !== "").join("\n\n"), [...images, ...attachments.images()]);
    },
    /** @param {boolean} streams whether an answer does */
    paint(streams) {
      isStreaming = streams;
      paintButton();
      attachments.paint();
    },
  };
}
