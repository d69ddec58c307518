// @ts-check
/** The word that Ollama has cut the prompt: said at each answer as long as it is so, and while the next one is made. */

import { hide } from "./dom.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/message.js").Message} Message
 */

/**
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 */
export function showContext(root, message, state) {
  hide(root, "[data-context-full]", !isCut(message, state));
}

/**
 * Tell whether the model did not see all of the conversation, by the answer's own figures, else by those of the last
 * answer before that has some: a conversation only grows.
 * @param {Message} message
 * @param {State} state
 */
function isCut(message, state) {
  if (message.stats) return message.stats.context_full === true;
  if (message.failure) return false;
  const before = state.messages.slice(0, state.messages.indexOf(message));
  return before.reverse().find((each) => each.stats)?.stats?.context_full === true;
}
