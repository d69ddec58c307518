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
 * @typedef {{title: string, hint: string, quoted: string}} Said quoted: a command, or words that are not the page's own
 */

/** The failures whose words are another's, and of them those that end a question or a partial answer. */
const OWN_WORDS = ["other", "upstream_error", "upstream_refused", "refused_partial", "sign_in", "proxy"];
const REFUSALS = { upstream_refused: true, refused_partial: true };
const OF_BUTTONS = { ...REFUSALS, sign_in: true, proxy: true };

/**
 * Tell which of the page's words a failure has: by its code, but a partial answer that Ollama refused to go on with is
 * no refused question.
 * @param {Message} message
 * @param {import("../core/message.js").Failure} failure
 * @param {import("./words.js").Dictionary} words
 */
function codeOf(message, failure, words) {
  if (failure.code === REFUSED && message.content !== "") return "refused_partial";
  return words[`error.${failure.code}`] ? failure.code : "other";
}

/**
 * Say what went wrong in the reader's language; what others said of it stays as it came.
 * @param {Message} message
 * @param {boolean} isLast whether it can be tried again
 * @param {Pick<Surroundings, "words" | "model">} page
 * @returns {Said}
 */
export function failureWords(message, isLast, page) {
  const failure = message.failure ?? { code: "other", message: "" };
  const words = page.words();
  const model = page.model();
  const code = codeOf(message, failure, words);
  const isDown = failure.message.endsWith("refused the connection"); // else it runs, and the words say what is wrong
  const hasReason = code === "upstream_unreachable" && !isDown;
  const command = { model_not_found: `ollama pull ${model}`, upstream_unreachable: isDown && "ollama serve" }[code] || "";
  const said = OWN_WORDS.includes(code) || hasReason ? failure.words || failure.message : "";
  const quoted = command || said;
  const title = filled(words[`error.${code}`] ?? "", { model });
  const isOfButton = code in OF_BUTTONS || !quoted; // else the hint leads to what is quoted
  const key = hasReason ? "error.other.hint" : `error.${code}.hint`;
  const hint = isOfButton && !isLast ? (words[`error.${code}.later`] ?? "") : (words[key] ?? "");
  return { title, hint, quoted };
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
  const isLast = message === lastMessage(state);
  const { title, hint, quoted } = failureWords(message, isLast, page);
  hook(root, "failure").dataset.failure = failure.code;
  write(hook(root, "failure-title"), title);
  write(hook(root, "failure-hint"), hint);
  hide(root, "[data-failure-detail]", quoted === "");
  write(hook(root, "failure-detail"), quoted);
  hide(root, '[data-do="retry"]', !isLast);
  hide(root, '[data-do="token"]', failure.code !== "unauthorized");
  hide(root, '[data-do="reload"]', failure.code !== "sign_in");
  hide(root, '.failure [data-do="edit"]', !message.isRefused);
  hide(root, '[data-do="delete"]', !message.isRefused);
}
