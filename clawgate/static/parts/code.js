// @ts-check
/**
 * A box of code: its language, its copy button, and its lines in blocks of a hundred, so that a line that is added costs
 * no more in a long one. A long box is folded: it shows some lines, while it grows the last ones, and all on demand.
 */

import { setText } from "./morph.js";

/**
 * @typedef {import("./words.js").Dictionary} Dictionary
 * @typedef {() => Dictionary} Words
 */

const BLOCK_LINES = 100;
const FOLDED_ABOVE = 120;

/**
 * @param {string} name of the element
 * @param {string} className
 * @param {Record<string, string>} [attributes]
 */
export function make(name, className, attributes = {}) {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Let an element that scrolls sideways be scrolled by keyboard. @param {HTMLElement} element @param {string} label */
export function scrollable(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}

/**
 * @param {HTMLElement} pre with its code
 * @param {Words} words
 * @returns {HTMLElement} the box, with the pre in it
 */
export function boxOf(pre, words) {
  const language = /language-(\S+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
  const box = make("div", "code");
  const button = make("button", "plain", { type: "button", "data-copy": "code", "data-word": "copy" });
  button.dataset.wordLabel = "copy.code";
  button.textContent = words()["copy"] ?? "";
  button.setAttribute("aria-label", words()["copy.code"] ?? "");
  const name = make("span", "", { translate: "no" });
  name.textContent = language;
  scrollable(pre, words()["code"] ?? "");
  pre.dir = "ltr";
  pre.replaceWith(box);
  box.append(name, button, pre);
  foldable(box, linesIn(pre.textContent ?? ""), words);
  return box;
}

/** @param {string} text */
const linesIn = (text) => text.split("\n").length - (text.endsWith("\n") ? 1 : 0);

/**
 * Fold a box that is long.
 * @param {Element} box
 * @param {number} lines
 * @param {Words} words
 */
function foldable(box, lines, words) {
  if (lines <= FOLDED_ABOVE) return;
  let button = box.querySelector("[data-fold]");
  if (!button) {
    button = foldButton("fold.code", words);
    box.append(button);
    box.classList.add("folded");
  }
  const count = button.lastElementChild;
  if (count) count.textContent = ` (${lines.toLocaleString(document.documentElement.lang)})`;
}

/** @param {string} word @param {Words} words */
export function foldButton(word, words) {
  const button = make("button", "plain fold", { type: "button", "data-fold": word, "aria-expanded": "false" });
  const label = make("span", "", { "data-word": word });
  label.textContent = words()[word] ?? "";
  button.append(label, make("span", ""));
  return button;
}

/**
 * Fold or unfold the box of a button.
 * @param {HTMLElement} button
 * @param {Words} words
 */
export function toggleFold(button, words) {
  const isFolded = button.parentElement?.classList.toggle("folded") ?? false;
  button.setAttribute("aria-expanded", String(!isFolded));
  const label = /** @type {HTMLElement} */ (button.firstElementChild);
  label.dataset.word = isFolded ? button.dataset.fold : "fold.less";
  label.textContent = words()[label.dataset.word ?? ""] ?? "";
  if (isFolded) button.parentElement?.scrollIntoView({ block: "nearest" });
}

/** The code in the box of a button. @param {Element} button */
export const codeBeside = (button) => button.parentElement?.querySelector("pre")?.textContent ?? "";

/**
 * @typedef {object} Grown how much of a box's code is there
 * @property {string} text
 * @property {number} lines
 * @property {Text | null} last the text of the last block
 * @property {number} inLast its lines
 */

/**
 * @param {string} language
 * @param {Words} words
 */
export function makeCode(language, words) {
  const pre = make("pre", "");
  const code = make("code", language && `language-${language}`);
  const holder = document.createDocumentFragment();
  pre.append(code);
  holder.append(pre);
  return boxOf(pre, words);
}

/**
 * Bring a plain box in step with its code, which has grown as a rule.
 * @param {HTMLElement} box
 * @param {Grown} grown of the last time; changed
 * @param {string} text
 * @param {boolean} isGrowing
 * @param {Words} words
 */
export function growCode(box, grown, text, isGrowing, words) {
  const code = /** @type {Element} */ (box.querySelector("code"));
  const shown = isGrowing ? text.replace(/\n$/, "") : text; // what follows may be on the same line
  if (!shown.startsWith(grown.text) || (grown.last && !grown.last.isConnected)) {
    Object.assign(grown, { text: "", lines: 0, last: null, inLast: 0 });
    code.replaceChildren();
  }
  let rest = shown.slice(grown.text.length);
  grown.text = shown;
  while (rest !== "") {
    if (!grown.last || grown.inLast >= BLOCK_LINES) {
      grown.last = document.createTextNode("");
      grown.inLast = 0;
      const block = make("span", "lines");
      block.append(grown.last);
      code.append(block);
    }
    let end = 0;
    while (end < rest.length && grown.inLast < BLOCK_LINES) {
      const lineEnd = rest.indexOf("\n", end);
      end = lineEnd < 0 ? rest.length : lineEnd + 1;
      if (lineEnd >= 0) [grown.inLast, grown.lines] = [grown.inLast + 1, grown.lines + 1];
    }
    setText(grown.last, grown.last.data + rest.slice(0, end));
    rest = rest.slice(end);
  }
  foldable(box, grown.lines + (shown.endsWith("\n") ? 0 : 1), words);
  if (!box.classList.contains("folded")) return;
  const pre = /** @type {Element} */ (code.parentElement);
  pre.scrollTop = isGrowing ? pre.scrollHeight : 0; // its last lines, then its first ones
}
