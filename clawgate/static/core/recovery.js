// @ts-check
/** What becomes of an answer whose connection was cut, and of a question that Ollama refused: pure. */

import { reconciled } from "./history.js";
import { lastMessage } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./api.js").WireMessage} WireMessage
 */

/** The failures of the way to the gateway, which mends without anybody's doing here. */
const PASSING = ["network", "proxy", "sign_in", "shutting_down"];

/**
 * Tell whether the last answer was cut on its way, and nothing has come after it.
 * @param {State} state
 */
export function isCutOff(state) {
  const failure = lastMessage(state)?.failure;
  return state.activeId === 0 && !!failure && PASSING.includes(failure.code);
}

/**
 * Take what the gateway has of a conversation whose last answer was cut off: that answer is no failure any more, but
 * one that can be gone on with, or that the gateway has brought to its end. The text that is shown here stays in any case.
 * @param {State} state
 * @param {WireMessage[] | null} given null: the gateway has forgotten the session
 * @returns {State}
 */
export function recovered(state, given) {
  const last = lastMessage(state);
  if (!last || !isCutOff(state)) return state;
  const known = reconciled(state, given);
  const isSame = known.messages.length === state.messages.length && lastMessage(known)?.id === last.id;
  const kept = isSame ? known : { ...state, isBehind: true };
  const isStill = (/** @type {Message} */ each) => each.id === last.id && each.failure === last.failure;
  return {
    ...kept,
    messages: kept.messages.map((each) => (isStill(each) ? { ...each, reason: "interrupted", failure: null } : each)),
  };
}

/**
 * Find the question of an answer; a question is its own.
 * @param {State} state
 * @param {number} id
 * @returns {Message | undefined}
 */
export function questionOf(state, id) {
  const at = state.messages.findIndex((each) => each.id === id);
  const found = state.messages[at];
  return found?.role === "assistant" ? state.messages[at - 1] : found;
}

/**
 * Delete a question that Ollama refused, with its answer, wherever it stands. The gateway hears of it with the next
 * request, which sends the whole conversation.
 * @param {State} state
 * @param {number} id the answer's
 * @returns {State}
 */
export function withoutRefused(state, id) {
  const answer = state.messages.find((each) => each.id === id);
  const question = questionOf(state, id);
  if (!answer?.isRefused || answer.id === state.activeId || question?.role !== "user") return state;
  const messages = state.messages.filter((each) => each !== answer && each !== question);
  const before = state.messages[state.messages.indexOf(question) - 1]?.id ?? 0;
  const others = state.others
    .filter((tail) => tail.after !== question.id) // other answers to it
    .map((tail) => (tail.after === answer.id ? { ...tail, after: before } : tail));
  return { ...state, messages, others, isBehind: true, editingId: state.editingId === question.id ? 0 : state.editingId };
}

/**
 * Take the refused question that is being edited out of its place: the conversation has gone on without it, and what
 * replaces it is asked at the end.
 * @param {State} state
 * @returns {State}
 */
export function withoutEditedRefusal(state) {
  const at = state.messages.findIndex((each) => each.id === state.editingId);
  const answer = at < 0 ? undefined : state.messages[at + 1];
  return answer?.isRefused ? withoutRefused(state, answer.id) : state;
}
