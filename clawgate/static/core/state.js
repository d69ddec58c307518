// @ts-check
/**
 * The conversation as one frozen value and the pure functions that change it. page/chat.js calls them; nothing here
 * knows the DOM, the network or the clock: the moment comes in as `now`, in milliseconds.
 */

import { othersWith } from "./branches.js";
import { createMessage, ended, grown, isUnfinished, settled } from "./message.js";
import { step } from "./place.js";
import { DEFAULTS } from "./settings.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").Failure} Failure
 *
 * @typedef {"connecting" | "connected" | "waiting" | "missing" | "disconnected" | "locked" | "signed_out"} Link
 *
 * @typedef {object} State
 * @property {string} id the conversation's own; the server does not know it
 * @property {string} title given by hand; "" where the first question is the title
 * @property {number} createdAt
 * @property {string | null} sessionId
 * @property {boolean} isBehind the server may not have what is shown: the next request goes with all of it
 * @property {readonly Message[]} messages the path that is shown
 * @property {readonly import("./branches.js").Tail[]} others what other ways the conversation has taken
 * @property {string} draft the message that is being written
 * @property {string} edit the text of the question that is being edited
 * @property {number} elsewhereId the answer that streams to another tab, which keeps it, and is read here too; 0 for none
 * @property {number} activeId the answer that streams; 0 for none
 * @property {string} runId of the answer that streams; "" before its start event
 * @property {boolean} isInterrupting
 * @property {number} cutAt when the stream was cut, and has not been connected again since; 0: it is not cut
 * @property {number} editingId the question that the next message replaces; 0 for none
 * @property {import("./settings.js").Settings} settings of this conversation
 * @property {readonly import("./queue.js").Queued[]} queue the messages that wait behind the answer that streams
 * @property {readonly import("./settings.js").Model[]} models those that may be asked, the gateway's own first
 * @property {Link} link
 * @property {boolean} isFull every stream of the gateway is taken
 * @property {number} nextId
 */

/** The part of the state that is the same whenever nothing streams. */
export const IDLE = { activeId: 0, elsewhereId: 0, runId: "", isInterrupting: false, cutAt: 0 };

/** The names in the state of what is the page's own, and no conversation's: it is not kept, and stays at a switch. */
export const PAGE_WIDE = ["link", "isFull", "models"];


/** @returns {State} */
export function initial() {
  return {
    id: "",
    title: "",
    createdAt: 0,
    sessionId: null,
    isBehind: false,
    messages: [],
    others: [],
    draft: "",
    edit: "",
    ...IDLE,
    editingId: 0,
    settings: DEFAULTS,
    queue: [],
    models: [],
    link: "connecting",
    isFull: false,
    nextId: 1,
  };
}

/**
 * Begin a conversation. It has its session's id from the start, so that it can be interrupted and forgotten before the
 * gateway has answered.
 * @param {string} id
 * @param {string} sessionId
 * @param {number} now
 * @param {import("./settings.js").Settings} settings
 * @returns {State}
 */
export const begun = (id, sessionId, now, settings = DEFAULTS) => ({
  ...initial(),
  id,
  sessionId,
  settings,
  isBehind: true,
  createdAt: now,
});

/**
 * Show a conversation in the place of another: what is the page's own stays.
 * @param {State} next
 * @param {State} before
 * @returns {State}
 */
export function inPlaceOf(next, before) {
  const own = Object.entries(before).filter(([name]) => PAGE_WIDE.includes(name));
  return { ...next, ...Object.fromEntries(own) };
}

/**
 * Change a message, on the path that is shown or on another one.
 * @param {State} state
 * @param {number} id
 * @param {(old: Message) => Partial<Message>} change
 * @returns {State}
 */
function changed(state, id, change) {
  const within = (/** @type {readonly Message[]} */ messages) =>
    messages.map((each) => (each.id === id ? { ...each, ...change(each) } : each));
  const has = (/** @type {readonly Message[]} */ messages) => messages.some((each) => each.id === id);
  if (has(state.messages)) return { ...state, messages: within(state.messages) };
  const others = state.others.map((tail) => (has(tail.messages) ? { ...tail, messages: within(tail.messages) } : tail));
  return { ...state, others };
}

/** @param {State} state @returns {Message | undefined} */
export const lastMessage = (state) => state.messages[state.messages.length - 1];

/** @param {State} state @returns {Message | undefined} */
export const activeAnswer = (state) => state.messages.find((each) => each.id === state.activeId);

/** @param {State} state @returns {number} the answer that streams, here or in another tab; 0 for none */
export const streamingId = (state) => state.activeId || state.elsewhereId;

/**
 * Find a message, on the path that is shown or on another one.
 * @param {State} state
 * @param {number} id
 * @returns {Message | undefined}
 */
export const messageOf = (state, id) =>
  [state.messages, ...state.others.map((tail) => tail.messages)].flat().find((each) => each.id === id);

/** @param {State} state @returns {Message | undefined} */
export const lastQuestion = (state) => state.messages.filter((each) => each.role === "user").pop();

/** @param {State} state @returns {boolean} */
export const canInterrupt = (state) => streamingId(state) !== 0 && !state.isInterrupting;

/**
 * Tell whether this answer streams, here or in another tab.
 * @param {State} state
 * @param {Message} each
 */
export const isStreaming = (state, each) => each.id === streamingId(state);

/**
 * Tell whether this message's answer can go on where it stopped.
 * @param {State} state
 * @param {Message} each
 */
export const canContinue = (state, each) => each === lastMessage(state) && isUnfinished(each) && each.failure === null;

/** @param {State} state @param {Message} each @returns {boolean} */
export const canRegenerate = (state, each) =>
  each.role === "assistant" && each.phase === "done" && each.failure === null && !isStreaming(state, each);

/**
 * Tell whether trying again has to throw the last answer away, because the model cannot go on with a partial one.
 * @param {State} state
 */
export const mustBeginAnew = (state) => lastMessage(state)?.failure?.code === "cannot_continue";

/**
 * Leave the answer that streams as it is, because something else comes now. Its last words still reach it by its id.
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
function cutOff(state, now) {
  const id = streamingId(state);
  if (id === 0) return state;
  const cut = changed(state, id, (old) => ({ ...settled(old, now), reason: "superseded" }));
  return { ...cut, ...IDLE };
}

/**
 * Add a question and its answer to be; where a question is being edited, it and what followed are set aside.
 * @param {State} state
 * @param {string} text
 * @param {number} now
 * @param {readonly string[]} [images]
 * @returns {State} its `activeId` is the answer
 */
export function asked(state, text, now, images = []) {
  const cut = cutOff(state, now);
  const edited = cut.messages.findIndex((each) => each.id === cut.editingId);
  const kept = edited < 0 ? cut.messages : cut.messages.slice(0, edited);
  const [question, answer] = [cut.nextId, cut.nextId + 1];
  return {
    ...cut,
    messages: [
      ...kept,
      createMessage(question, "user", { content: text, images }),
      createMessage(answer, "assistant", { phase: "waiting", askedAt: now }),
    ],
    others: edited < 0 ? cut.others : othersWith(cut, edited),
    isBehind: cut.isBehind || edited >= 0,
    activeId: answer,
    editingId: 0,
    edit: "",
    nextId: answer + 1,
  };
}

/**
 * Go on with the last answer, keeping what it has.
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
export function resumed(state, now) {
  const answer = lastMessage(state);
  if (!answer || answer.role !== "assistant") return state;
  const thinking = answer.content ? answer.thinking : "";
  const base = { content: answer.content.length, thinking: thinking.length, tools: answer.tools.length };
  return {
    ...changed(state, answer.id, () => ({ phase: "waiting", reason: "", failure: null, askedAt: now, thinking, place: "", base })),
    ...IDLE,
    activeId: answer.id,
  };
}

/**
 * Ask a question again, and set its answer and what followed aside.
 * @param {State} state
 * @param {number} now
 * @param {number} [id] the answer's; the last message's where it is left out
 * @returns {State} as it was, where there is no such answer
 */
export function regenerated(state, now, id = lastMessage(state)?.id) {
  const place = state.messages.findIndex((each) => each.id === id);
  if (state.messages[place]?.role !== "assistant") return state;
  const cut = cutOff(state, now);
  const answer = createMessage(cut.nextId, "assistant", { phase: "waiting", askedAt: now });
  return {
    ...cut,
    messages: [...cut.messages.slice(0, place), answer],
    others: othersWith(cut, place),
    isBehind: true,
    activeId: answer.id,
    nextId: cut.nextId + 1,
  };
}

/**
 * Take one event of an answer's stream, unless it has been taken already: a reader that was cut off may get some twice.
 * An end counts wherever it lies: a process that dies has said some words more than it has shared with the others, which
 * then end its answer before them. These words stay here, and the next request tells the gateway.
 * @param {State} state
 * @param {number} id the answer's
 * @param {any} event the data of the event
 * @param {number} now
 * @param {string} [at] the event's id
 * @returns {State}
 */
export function received(state, id, event, now, at = "") {
  if (event.ping !== undefined) return state;
  const streams = id === streamingId(state);
  const isKnown = step(messageOf(state, id)?.place ?? "", at) === "known";
  if (isKnown && !(event.done && streams)) return state;
  const placed = at ? { place: at } : {};
  if (event.done) {
    const over = changed(state, id, (old) => ({ ...ended(old, event, now), ...placed }));
    return streams ? { ...over, ...IDLE, isBehind: over.isBehind || isKnown } : over;
  }
  if (event.run_id !== undefined && event.status === undefined) {
    if (!streams) return state;
    const isShown = state.messages.some((each) => each.id === id); // else its way has been left meanwhile
    const isBehind = state.isBehind && !(isShown && id === state.activeId);
    return { ...changed(state, id, () => placed), sessionId: event.session_id, runId: event.run_id, isBehind };
  }
  return changed(state, id, (old) => ({ ...grown(old, event, now), ...placed }));
}

/** Note that the stream is cut. @param {State} state @param {number} now @returns {State} */
export const cut = (state, now) => (state.cutAt ? state : { ...state, cutAt: now });

/** Note that something has come, so that the stream is not cut. @param {State} state @returns {State} */
export const heard = (state) => (state.cutAt ? { ...state, cutAt: 0 } : state);

/**
 * Note that an answer's request failed, or that its stream broke off without an end.
 * @param {State} state
 * @param {number} id
 * @param {Failure} failure
 * @param {number} now
 * @returns {State}
 */
export function failed(state, id, failure, now) {
  const noted = changed(state, id, (old) => ({ ...settled(old, now), reason: "error", failure }));
  if (id !== state.activeId) return noted;
  return { ...noted, ...IDLE, isBehind: true };
}

/** @param {State} state @returns {State} */
export const interrupting = (state) => (canInterrupt(state) ? { ...state, isInterrupting: true } : state);

/**
 * Begin to edit a question, or (0) give it up.
 * @param {State} state
 * @param {number} id
 * @returns {State}
 */
export function editing(state, id) {
  const edit = state.messages.find((each) => each.id === id)?.content ?? "";
  return { ...state, editingId: id, edit };
}

/**
 * Note what stands in the field: the question that is being edited, or the next message.
 * @param {State} state
 * @param {string} text
 * @returns {State}
 */
export function drafted(state, text) {
  const name = state.editingId ? "edit" : "draft";
  return state[name] === text ? state : { ...state, [name]: text };
}

/**
 * Note that an answer that streams to another tab is not read here any more.
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
export function abandoned(state, now) {
  const cut = changed(state, state.elsewhereId, (old) => ({ ...settled(old, now), reason: "interrupted" }));
  return state.elsewhereId ? { ...cut, ...IDLE, activeId: state.activeId } : state;
}

/**
 * Keep here the answer that streamed to another tab: it is gone, and nobody else writes down how it ends.
 * @param {State} state
 * @returns {State}
 */
export const adopted = (state) => (state.elsewhereId ? { ...state, activeId: state.elsewhereId, elsewhereId: 0 } : state);

/**
 * Take what the gateway says of itself and of Ollama; null: it does not answer.
 * @param {State} state
 * @param {{upstream: {reachable: boolean, model_ready: boolean}, streams: number, max_streams: number, models?: import("./settings.js").Model[]} | null} status
 * @returns {State}
 */
export function linked(state, status) {
  if (status === null) return { ...state, link: "disconnected" };
  const { reachable, model_ready: isReady } = status.upstream;
  const link = !reachable ? "waiting" : isReady ? "connected" : "missing";
  return { ...state, link, isFull: status.streams >= status.max_streams, models: status.models ?? state.models };
}
