// @ts-check
/** What the model thought, folded away once it speaks. */

import { hook, write } from "./dom.js";
import { filled, seconds } from "./words.js";

/** @typedef {import("../core/message.js").Message} Message */

/**
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {boolean} wasThinking
 * @param {number} now
 * @param {import("./words.js").Dictionary} words
 */
export function showThinking(root, message, wasThinking, now, words) {
  const fold = /** @type {HTMLDetailsElement} */ (hook(root, "thinking"));
  const isThinking = message.phase === "thinking";
  fold.hidden = message.thinking === "";
  if (isThinking && !wasThinking) fold.open = true;
  if (!isThinking && wasThinking) fold.open = false;
  const thoughts = hook(root, "thoughts");
  const shown = thoughts.firstChild;
  if (shown instanceof Text && message.thinking.startsWith(shown.data)) {
    if (message.thinking.length > shown.length) shown.appendData(message.thinking.slice(shown.length));
  } else {
    thoughts.textContent = message.thinking;
  }
  if (isThinking) thoughts.scrollTop = thoughts.scrollHeight;
  const ms = isThinking ? now - message.thinkingSince : message.thoughtMs;
  const key = isThinking ? "thinking.now" : ms ? "thinking.done" : "thinking.kept";
  write(hook(root, "thinking-label"), filled(words[key] ?? "", { seconds: Math.max(seconds(ms), isThinking ? 0 : 1) }));
}
