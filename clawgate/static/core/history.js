// @ts-check
/** The conversation as it goes to the server and comes back from it: pure. */

import { withinPictures } from "./attached.js";
import { othersWith } from "./branches.js";
import { REFUSED, createMessage } from "./message.js";
import { modelOf } from "./settings.js";
import { lastMessage } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./api.js").WireMessage} WireMessage
 */

/**
 * Give the whole conversation as the API wants it, up to the answer that is awaited. A partial answer at its end is
 * what the model goes on from; one that said nothing is left out, so that the question is asked again. A question that
 * Ollama refused is left out, unless it is the one that is asked. The system prompt is its first message.
 * @param {State} state
 * @param {number} [pictureBytes] what its pictures may come to; the oldest are left out
 * @returns {WireMessage[]}
 */
export function history(state, pictureBytes = Infinity) {
  const isLeftOut = (/** @type {Message | undefined} */ answer) => answer?.isRefused && answer.id !== state.activeId;
  const { system } = state.settings;
  const said = state.messages.filter((each, index) =>
    each.role === "user" ? !isLeftOut(state.messages[index + 1]) : each.content !== "",
  );
  return [...(system ? [{ role: "system", content: system }] : []), ...withinPictures(said, pictureBytes).map(toWire)];
}

/** @param {Message} message @returns {WireMessage} */
const toWire = ({ role, content, images, thinking }) => ({
  role,
  content,
  ...(images.length ? { images } : {}),
  ...(thinking ? { thinking } : {}),
});

/**
 * Make the body of POST /api/chat for the answer that is awaited.
 * @param {State} state
 * @param {"message" | "continue"} way what the server has to add to what it knows
 * @param {boolean | null} think whether the model is to think; null leaves that to it
 * @param {number} [pictureBytes] what the pictures of a request may come to
 */
export function orderFor(state, way, think, pictureBytes) {
  const { sessionId, settings, isBehind, messages } = state;
  const isAllowed = !state.models.length || modelOf(state)?.name === settings.model; // not known yet: the gateway decides
  const model = settings.model && isAllowed ? { model: settings.model } : {};
  const options = Object.keys(settings.options).length ? { options: settings.options } : {};
  const rest = { ...(sessionId ? { session_id: sessionId } : {}), ...(think === null ? {} : { think }), ...model, ...options };
  const isNew = !sessionId && (messages.length > 2 || settings.system !== "");
  if (isBehind || isNew) {
    const canSee = modelOf(state)?.vision !== false;
    return { messages: history(state, canSee ? pictureBytes : 0), ...rest };
  }
  if (way === "continue") return { continue: true, ...rest };
  const question = messages[messages.length - 2];
  return { message: question?.images.length ? toWire(question) : (question?.content ?? ""), ...rest };
}

/**
 * Bring the browser's own copy and the server's session together, after a reload. The server knows better how the last
 * answer ended; the browser may know more of what came before, and what never reached the server. If the two differ,
 * the browser's way is shown if it has gone another one since, else the server's, and the browser's is set aside.
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
  return state.isBehind ? state : replaced(state, theirs);
}

/**
 * Show the server's conversation, and set aside what differs in the browser's. The turns before, which the server may
 * have dropped, stay.
 * @param {State} state
 * @param {readonly WireMessage[]} theirs
 * @returns {State}
 */
function replaced(state, theirs) {
  const own = state.messages;
  let [start, same] = [0, 0];
  for (let place = 0; place < own.length; place += 1) {
    const run = theirs.findIndex((their, index) => !isBegun(own[place + index], their));
    const length = run < 0 ? theirs.length : run;
    if (length > same) [start, same] = [place, length];
  }
  const shared = theirs.slice(0, same).flatMap((their, index) => {
    const mine = own[start + index];
    return mine ? [mine.content === their.content ? mine : { ...mine, ...fromWire(mine.id, their) }] : [];
  });
  const added = theirs.slice(same).map((their, index) => fromWire(state.nextId + index, their));
  const messages = [...own.slice(0, start), ...shared, ...added];
  return { ...state, messages, others: othersWith(state, start + same), isBehind: false, nextId: state.nextId + added.length };
}

/**
 * Tell whether the browser's message is the server's, or the beginning of it.
 * @param {Message | undefined} own
 * @param {WireMessage} their
 */
function isBegun(own, their) {
  if (own?.role !== their.role) return false;
  return own.content === their.content || (own.role === "assistant" && their.content.startsWith(own.content));
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
  const said = { content: wire.content, images: wire.images ?? [], thinking: wire.thinking ?? "" };
  if (wire.role === "user") return createMessage(id, "user", said);
  if (wire.refused) return createMessage(id, "assistant", REFUSAL);
  return createMessage(id, "assistant", { ...said, reason: wire.interrupted ? "interrupted" : "stop" });
}
