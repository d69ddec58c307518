// @ts-check
/** What went wrong with an answer, and what to do about it. */

import { REFUSED } from "../core/message.js";
import { lastMessage } from "../core/state.js";
import { hide, hook, write } from "./dom.js";
import { filled } from "./words.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/message.js").Message} Message
 * @typedef {import("./bubble.js").Surroundings} Surroundings
 */

/** The failures whose words are Ollama's or the gateway's own, and of them those that end a question or a partial answer. */
const OWN_WORDS = ["other", "upstream_error", "upstream_refused", "refused_partial"];
const REFUSALS = { upstream_refused: true, refused_partial: true };

/**
 * Tell which of the page's words a failure has: by its code, but a partial answer that Ollama refused to go on with is
 * no refused question.
 * @param {Message} message
 * @param {import("../core/message.js").Failure} failure
 * @param {import("./words.js").Dictionary} words
 */
function wordsOf(message, failure, words) {
  if (failure.code === REFUSED && message.content !== "") return "refused_partial";
  return words[`error.${failure.code}`] ? failure.code : "other";
}

/**
 * Show what went wrong and what to do about it.
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {Surroundings} page
 */
export function showFailure(root, message, state, page) {
  const { failure } = message;
  hide(root, "[data-failure]", failure === null);
  if (!failure) return;
  const words = page.words();
  const code = wordsOf(message, failure, words);
  const isRefused = failure.message.endsWith("refused the connection"); // else it runs, and the words say what is wrong
  const hasReason = code === "upstream_unreachable" && !isRefused;
  const detail = { model_not_found: `ollama pull ${page.model}`, upstream_unreachable: isRefused && "ollama serve" }[code];
  const hasOwnWords = (OWN_WORDS.includes(code) || hasReason) && failure.message !== "";
  const hasButton = message === lastMessage(state);
  const isOfButton = code in REFUSALS || (!detail && !hasOwnWords); // else the hint leads to what is quoted
  hook(root, "failure").dataset.failure = failure.code;
  write(hook(root, "failure-title"), filled(words[`error.${code}`] ?? "", { model: page.model }));
  const hint = words[hasReason ? "error.other.hint" : `error.${code}.hint`] ?? "";
  write(hook(root, "failure-hint"), isOfButton && !hasButton ? "" : hint);
  hide(root, "[data-failure-detail]", !detail && !hasOwnWords);
  write(hook(root, "failure-detail"), detail || failure.message);
  hide(root, '[data-do="retry"]', !hasButton);
}
