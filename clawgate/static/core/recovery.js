// @ts-check
/** What becomes of an answer whose connection was cut, and of a question that Ollama refused: pure. */

import { reconciled } from "./history.js";
import { runOf } from "./place.js";
import { IDLE, lastMessage, received, streamingId } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./api.js").WireMessage} WireMessage
 * @typedef {import("./api.js").SessionView} SessionView
 */

/** The failures of the way to the gateway, which mends without anybody's doing here. */
const PASSING = ["network", "proxy", "sign_in", "shutting_down"];
/** Those of an answer that had begun, and was to be read on. */
const PASSING_LATER = [...PASSING, "unauthorized", "busy", "session_store_unavailable"];

/**
 * Tell whether the last answer was cut on its way, and nothing has come after it.
 * @param {State} state
 */
export function isCutOff(state) {
  const { failure, place } = lastMessage(state) ?? {};
  return streamingId(state) === 0 && !!failure && (place ? PASSING_LATER : PASSING).includes(failure.code);
}

/**
 * Let the last answer, which was cut off, stream again: it is read on where it was left.
 * @param {State} state
 * @param {number} now
 * @returns {State} as it was, where it was not cut off
 */
export function reopened(state, now) {
  const last = lastMessage(state);
  if (!last || !isCutOff(state)) return state;
  /** @type {Message} */
  const open = { ...last, phase: last.content ? "text" : "waiting", reason: "", failure: null };
  const messages = [...state.messages.slice(0, -1), open];
  return { ...state, messages, ...IDLE, activeId: last.id, runId: runOf(last.place), cutAt: now };
}

/**
 * Go back to where the session's run began, for a reader that has none of its events: it then gets all of them.
 * @param {State} state
 * @param {SessionView | null} seen the session, as the gateway has it
 * @returns {State | null} null: no run is in flight, or it is none for the answer that streams here
 */
export function joined(state, seen) {
  const place = state.messages.findIndex((each) => each.id === streamingId(state));
  const answer = state.messages[place];
  const asked = seen?.messages.findLast((each) => each.role === "user")?.content;
  if (!seen?.streaming || !answer || state.messages[place - 1]?.content !== asked) return null;
  const last = seen.messages[seen.messages.length - 1];
  const { content = "", thinking = "" } = last?.role === "assistant" ? last : {};
  const base = { content: content.length, thinking: thinking.length, tools: answer.tools.length };
  const begun = { ...answer, content, thinking, base, place: "" };
  return { ...state, messages: state.messages.map((each) => (each === answer ? begun : each)) };
}

/**
 * Take what the gateway has of a conversation whose answer cannot be read on: it can be gone on with, or the gateway has
 * brought it to its end. The text that is shown here stays in any case.
 * @param {State} state
 * @param {WireMessage[] | null} given null: the gateway has forgotten the session
 * @param {number} now
 * @returns {State}
 */
export function recovered(state, given, now) {
  const id = streamingId(state);
  const over = received(state, id, { done: true, done_reason: "interrupted" }, now);
  const known = lastMessage(over)?.id === id ? reconciled(over, given) : null;
  const isSame = known?.messages.length === over.messages.length && lastMessage(known)?.id === id;
  return known && isSame ? known : { ...over, isBehind: true };
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
