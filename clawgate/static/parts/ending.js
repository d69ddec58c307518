// @ts-check
/** How an answer ended, what it took, and what can be done with it. */

import { contextPercent, isEmpty } from "../core/message.js";
import { speedOf } from "../core/meter.js";
import { canContinue, canRegenerate, isStreaming as streams } from "../core/state.js";
import { hide, hook, write } from "./dom.js";
import { filled } from "./words.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/message.js").Message} Message
 */

/**
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {import("./words.js").Dictionary} words
 */
export function showEnding(root, message, state, words) {
  const isStreaming = streams(state, message);
  hide(root, "[data-tag]", !isStreaming);
  hide(root, '[data-do="continue"]', !canContinue(state, message));
  write(hook(root, 'do="continue"'), words[message.content ? "continue" : "retry"] ?? "");
  hide(root, '[data-do="regenerate"]', !canRegenerate(state, message));
  hide(root, '.tools [data-do="copy"]', message.content === "" || isStreaming);
  const tools = message.tools.length ? filled(words["tools"] ?? "", { names: message.tools.join(", ") }) : "";
  const mark = message.phase === "done" ? (words[`mark.${endingOf(message)}`] ?? tools) : tools;
  hide(root, "[data-mark]", mark === "");
  write(hook(root, "mark"), mark);
  write(hook(root, "stats"), isStreaming ? "" : statsWords(message, words));
}

/**
 * Name an answer's end: by its reason, but one without a word is another than a whole one.
 * @param {Message} message
 */
export const endingOf = (message) => (isEmpty(message) ? "empty" : message.reason);

/**
 * @param {Message} message
 * @param {import("./words.js").Dictionary} words
 */
function statsWords(message, words) {
  const speed = speedOf(message);
  if (!speed) return "";
  const { perSecond, seconds, isAbout } = speed;
  const shown = isAbout ? `≈ ${Math.max(1, Math.round(perSecond))}` : perSecond.toFixed(1);
  const figures = filled(words["stats"] ?? "", { speed: shown, seconds: seconds.toFixed(1) });
  const percent = message.stats ? contextPercent(message.stats) : 0;
  return percent ? `${figures} · ${filled(words["context"] ?? "", { percent })}` : figures;
}
