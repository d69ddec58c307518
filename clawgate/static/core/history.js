// @ts-check
/** The conversation as it goes to the server, comes back from it, and is kept in this browser: pure. */

import { REFUSED, createMessage } from "./message.js";
import { lastMessage } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./api.js").WireMessage} WireMessage
 */

/**
 * Give the whole conversation as the API wants it, up to the answer that is awaited. A partial answer at its end is
 * what the model goes on from; one that said nothing is left out, so that the question is asked again. A question that
 * Ollama refused is left out, unless it is the one that is asked.
 * @param {State} state
 * @returns {WireMessage[]}
 */
export function history(state) {
  const isLeftOut = (/** @type {Message | undefined} */ answer) => answer?.isRefused && answer.id !== state.activeId;
  return state.messages
    .filter((each, index) => (each.role === "user" ? !isLeftOut(state.messages[index + 1]) : each.content !== ""))
    .map(({ role, content, thinking }) => ({ role, content, ...(thinking ? { thinking } : {}) }));
}

/**
 * Make the body of POST /api/chat for the answer that is awaited.
 * @param {State} state
 * @param {"message" | "continue"} way what the server has to add to what it knows
 * @param {boolean | null} think whether the model is to think; null leaves that to it
 */
export function orderFor(state, way, think) {
  const session = state.sessionId ? { session_id: state.sessionId } : {};
  const rest = { ...session, ...(think === null ? {} : { think }) };
  const question = state.messages[state.messages.length - 2];
  if (state.isBehind || (!state.sessionId && state.messages.length > 2)) return { messages: history(state), ...rest };
  return way === "continue" ? { continue: true, ...rest } : { message: question?.content ?? "", ...rest };
}

/**
 * Bring the browser's own copy and the server's session together, after a reload. The server knows better how the last
 * answer ended; the browser may know more of what came before, and what never reached the server.
 * @param {State} state
 * @param {WireMessage[] | null} given null: the server has forgotten the session
 * @returns {State}
 */
export function reconciled(state, given) {
  if (given === null) return { ...state, isBehind: true };
  const theirs = given.filter((each) => each.role === "user" || each.role === "assistant").flatMap(withRefusal);
  const start = state.messages.length - theirs.length;
  if (start >= 0 && agree(state.messages.slice(start), theirs)) {
    const last = theirs[theirs.length - 1];
    return last ? { ...state, messages: state.messages.map((each) => updated(state, each, last)) } : state;
  }
  if (start > 0 && agree(state.messages.slice(0, theirs.length), theirs)) return { ...state, isBehind: true };
  const asked = new Set(state.messages.map((each) => each.content));
  const undeleted = given.filter((each) => !each.refused || asked.has(each.content)); // of what was refused
  if (undeleted.length < given.length) {
    const known = reconciled(state, undeleted);
    if (known.nextId === state.nextId) return { ...known, isBehind: true };
  }
  let id = state.nextId;
  const messages = theirs.map((each) => fromWire(id++, each));
  return { ...state, messages, isBehind: false, nextId: id };
}

/**
 * Put an answer behind a question that Ollama refused: the server keeps none, and the page shows the refusal there.
 * @param {WireMessage} each
 * @returns {WireMessage[]}
 */
function withRefusal(each) {
  return each.refused && each.role === "user" ? [each, { role: "assistant", content: "", refused: true }] : [each];
}

/**
 * @param {readonly Message[]} ours
 * @param {readonly WireMessage[]} theirs
 */
function agree(ours, theirs) {
  return ours.every((own, index) => {
    const their = theirs[index];
    if (!their || own.role !== their.role) return false;
    const isLast = index === ours.length - 1 && own.role === "assistant";
    return own.content === their.content || (isLast && their.content.startsWith(own.content));
  });
}

/**
 * @param {State} state
 * @param {Message} own
 * @param {WireMessage} last the server's last message
 * @returns {Message}
 */
function updated(state, own, last) {
  if (own !== lastMessage(state) || own.role !== "assistant") return own;
  if (last.refused) return own.isRefused ? own : { ...own, ...REFUSAL };
  const known = { content: last.content, thinking: last.thinking ?? own.thinking };
  if (!last.interrupted) return { ...own, ...known, reason: "stop", failure: null };
  // a connection that broke is whole again; leaving the page itself looks like a broken one
  const isStale = own.reason === "stop" || own.failure?.code === "network";
  return { ...own, ...known, ...(isStale ? { reason: "interrupted", failure: null } : {}) };
}

/**
 * The failure of an answer whose question was refused, by the server's copy; Ollama's words for it are not kept there.
 * @type {Partial<Message>}
 */
const REFUSAL = { isRefused: true, reason: "error", failure: { code: REFUSED, message: "" } };

/**
 * @param {number} id
 * @param {WireMessage} wire
 * @returns {Message}
 */
function fromWire(id, wire) {
  const said = { content: wire.content, thinking: wire.thinking ?? "" };
  if (wire.role === "user") return createMessage(id, "user", said);
  if (wire.refused) return createMessage(id, "assistant", REFUSAL);
  return createMessage(id, "assistant", { ...said, reason: wire.interrupted ? "interrupted" : "stop" });
}

/**
 * Write the conversation for this browser's storage.
 * @param {State} state
 */
export function packed(state) {
  return JSON.stringify({ version: 1, sessionId: state.sessionId, isBehind: state.isBehind, messages: state.messages });
}

/**
 * Read what `packed` wrote; an answer that streamed then was cut by the reload.
 * @param {State} state
 * @param {string | null} text
 * @returns {State}
 */
export function unpacked(state, text) {
  try {
    const kept = JSON.parse(text ?? "null");
    if (kept?.version !== 1 || !Array.isArray(kept.messages)) return state;
    /** @type {Message[]} */
    const messages = kept.messages.map((/** @type {Message} */ each, /** @type {number} */ index) => ({
      ...each,
      id: state.nextId + index,
      phase: "done",
      attempt: 0,
      reason: each.role === "assistant" ? each.reason || "interrupted" : "",
    }));
    const { sessionId, isBehind } = kept;
    return { ...state, sessionId, isBehind, messages, nextId: state.nextId + messages.length };
  } catch {
    return state;
  }
}
