// @ts-check
/** How an answer ended, what it took, and what can be done with it. */

import { contextPercent, isEmpty } from "../core/message.js";
import { canContinue, canRegenerate } from "../core/state.js";
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
  const isStreaming = message.id === state.activeId;
  hide(root, "[data-tag]", !isStreaming);
  hide(root, '[data-do="continue"]', !canContinue(state, message));
  write(hook(root, 'do="continue"'), words[message.content ? "continue" : "retry"] ?? "");
  hide(root, '[data-do="regenerate"]', !canRegenerate(state, message));
  hide(root, '.tools [data-do="copy"]', message.content === "" || isStreaming);
  const tools = message.tools.length ? filled(words["tools"] ?? "", { names: message.tools.join(", ") }) : "";
  const mark = message.phase === "done" ? (words[`mark.${endingOf(message)}`] ?? tools) : tools;
  hide(root, "[data-mark]", mark === "");
  write(hook(root, "mark"), mark);
  write(hook(root, "stats"), message.stats && !isStreaming ? statsWords(message.stats, words) : "");
}

/**
 * Name an answer's end: by its reason, but one without a word is another than a whole one.
 * @param {Message} message
 */
export const endingOf = (message) => (isEmpty(message) ? "empty" : message.reason);

/**
 * @param {import("../core/message.js").Stats} stats
 * @param {import("./words.js").Dictionary} words
 */
function statsWords(stats, words) {
  const speed = (stats.eval_count ?? 0) / ((stats.eval_duration || 1) / 1e9);
  const total = (stats.total_duration ?? stats.eval_duration ?? 0) / 1e9;
  const figures = filled(words["stats"] ?? "", { speed: speed.toFixed(1), seconds: total.toFixed(1) });
  const percent = contextPercent(stats);
  return percent ? `${figures} · ${filled(words["context"] ?? "", { percent })}` : figures;
}
