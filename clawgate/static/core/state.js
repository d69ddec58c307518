// @ts-check
/**
 * The conversation as one frozen value and the pure functions that change it. chat.js calls them; nothing here knows
 * the DOM, the network or the clock: the moment comes in as `now`, in milliseconds.
 */

/**
 * @typedef {{code: string, message: string}} Failure
 * @typedef {Record<string, number>} Stats Ollama's counts and durations, nanoseconds
 * @typedef {"waiting" | "thinking" | "text" | "done"} Phase
 * @typedef {"stop" | "length" | "interrupted" | "superseded" | "truncated" | "error" | ""} Reason
 *
 * @typedef {object} Message
 * @property {number} id
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {string} thinking
 * @property {Phase} phase
 * @property {Reason} reason why it ended; "" while it has not
 * @property {Failure | null} failure
 * @property {Stats | null} stats
 * @property {string[]} tools names of the tools that the model asked for
 * @property {number} askedAt when the answer, or what it waits for, began
 * @property {number} thinkingSince
 * @property {number} thoughtMs
 * @property {number} attempt the request to Ollama that is awaited; 0 while it is not away
 * @property {boolean} isUnloading it is awaited because a request hung, and the model is unloaded
 *
 * @typedef {"connecting" | "connected" | "waiting" | "missing" | "disconnected" | "locked"} Link
 *
 * @typedef {object} State
 * @property {string | null} sessionId
 * @property {boolean} isBehind the server may not have what is shown: the next request goes with all of it
 * @property {readonly Message[]} messages
 * @property {number} activeId the answer that streams; 0 for none
 * @property {string} runId of the answer that streams; "" before its start event
 * @property {boolean} isInterrupting
 * @property {number} editingId the question that the next message replaces; 0 for none
 * @property {Link} link
 * @property {boolean} isFull every stream of the gateway is taken
 * @property {number} nextId
 */

/** @returns {State} */
export function initial() {
  return {
    sessionId: null,
    isBehind: false,
    messages: [],
    activeId: 0,
    runId: "",
    isInterrupting: false,
    editingId: 0,
    link: "connecting",
    isFull: false,
    nextId: 1,
  };
}

/**
 * @param {number} id
 * @param {"user" | "assistant"} role
 * @param {Partial<Message>} given
 * @returns {Message}
 */
function message(id, role, given) {
  return {
    id,
    role,
    content: "",
    thinking: "",
    phase: "done",
    reason: "",
    failure: null,
    stats: null,
    tools: [],
    askedAt: 0,
    thinkingSince: 0,
    thoughtMs: 0,
    attempt: 0,
    isUnloading: false,
    ...given,
  };
}

/**
 * @param {State} state
 * @param {number} id
 * @param {(old: Message) => Partial<Message>} change
 * @returns {State}
 */
function changed(state, id, change) {
  return { ...state, messages: state.messages.map((each) => (each.id === id ? { ...each, ...change(each) } : each)) };
}

/** @param {State} state @returns {Message | undefined} */
export const lastMessage = (state) => state.messages[state.messages.length - 1];

/** @param {State} state @returns {Message | undefined} */
export const activeAnswer = (state) => state.messages.find((each) => each.id === state.activeId);

/** @param {State} state @returns {Message | undefined} */
export const lastQuestion = (state) => state.messages.filter((each) => each.role === "user").pop();

/** @param {Message} each @returns {boolean} */
export const isUnfinished = (each) => each.role === "assistant" && each.phase === "done" && each.reason !== "stop";

/** @param {State} state @returns {boolean} */
export const canInterrupt = (state) => state.activeId !== 0 && !state.isInterrupting;

/**
 * Tell whether this message's answer can go on where it stopped.
 * @param {State} state
 * @param {Message} each
 */
export const canContinue = (state, each) => each === lastMessage(state) && isUnfinished(each) && each.failure === null;

/** @param {State} state @param {Message} each @returns {boolean} */
export const canRegenerate = (state, each) =>
  each === lastMessage(state) && each.role === "assistant" && each.phase === "done" && each.failure === null;

/**
 * Leave the answer that streams as it is: something else comes now. Its last words still reach it by its id.
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
function cutOff(state, now) {
  if (state.activeId === 0) return state;
  const cut = changed(state, state.activeId, (old) => ({ ...settled(old, now), reason: "superseded" }));
  return { ...cut, activeId: 0, runId: "", isInterrupting: false };
}

/**
 * @param {Message} old
 * @param {number} now
 * @returns {Partial<Message>}
 */
function settled(old, now) {
  const isThinking = old.phase === "thinking";
  return { phase: "done", attempt: 0, thoughtMs: isThinking ? Math.max(now - old.thinkingSince, 1) : old.thoughtMs };
}

/**
 * Add a question and its answer to be; where a question is being edited, it and what followed are replaced.
 * @param {State} state
 * @param {string} text
 * @param {number} now
 * @returns {State} its `activeId` is the answer
 */
export function asked(state, text, now) {
  const cut = cutOff(state, now);
  const edited = cut.messages.findIndex((each) => each.id === cut.editingId);
  const kept = edited < 0 ? cut.messages : cut.messages.slice(0, edited);
  const [question, answer] = [cut.nextId, cut.nextId + 1];
  return {
    ...cut,
    messages: [
      ...kept,
      message(question, "user", { content: text }),
      message(answer, "assistant", { phase: "waiting", askedAt: now }),
    ],
    isBehind: cut.isBehind || edited >= 0,
    activeId: answer,
    editingId: 0,
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
  return {
    ...changed(state, answer.id, () => ({ phase: "waiting", reason: "", failure: null, askedAt: now, thinking })),
    activeId: answer.id,
    runId: "",
    isInterrupting: false,
  };
}

/**
 * Ask the last question again: its answer is thrown away.
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
export function regenerated(state, now) {
  const cut = cutOff(state, now);
  const last = lastMessage(cut);
  if (!last || last.role !== "assistant") return cut;
  const answer = message(cut.nextId, "assistant", { phase: "waiting", askedAt: now });
  return {
    ...cut,
    messages: [...cut.messages.slice(0, -1), answer],
    isBehind: true,
    activeId: answer.id,
    nextId: cut.nextId + 1,
  };
}

/**
 * Take one event of an answer's stream.
 * @param {State} state
 * @param {number} id the answer's
 * @param {any} event the data of the event
 * @param {number} now
 * @returns {State}
 */
export function received(state, id, event, now) {
  if (event.ping !== undefined) return state;
  const isActive = id === state.activeId;
  if (event.done) {
    const ended = changed(state, id, (old) => ({
      ...settled(old, now),
      reason: event.done_reason,
      failure: event.error ?? null,
      stats: event.stats && event.stats.eval_count ? event.stats : old.stats,
    }));
    return isActive ? { ...ended, activeId: 0, runId: "", isInterrupting: false } : ended;
  }
  if (event.run_id !== undefined && event.model !== undefined) {
    return isActive ? { ...state, sessionId: event.session_id, runId: event.run_id, isBehind: false } : state;
  }
  return changed(state, id, (old) => said(old, event, now));
}

/**
 * @param {Message} old
 * @param {any} event
 * @param {number} now
 * @returns {Partial<Message>}
 */
function said(old, event, now) {
  const isOver = old.phase === "done"; // superseded: its last words come after the next question
  if (event.status === "waiting") {
    const isUnloading = event.reason === "upstream_timeout";
    return { attempt: event.attempt, isUnloading, askedAt: old.attempt ? old.askedAt : now };
  }
  if (event.status === "resumed") return { attempt: 0, askedAt: now };
  if (event.status === "restarted") return { attempt: 0, askedAt: now, thinking: "", phase: isOver ? "done" : "waiting" };
  if (event.tool_calls) {
    const names = event.tool_calls.map((/** @type {any} */ call) => String(call.function?.name ?? "?"));
    return { tools: [...old.tools, ...names], attempt: 0 };
  }
  if (event.thinking) {
    const begins = old.phase !== "thinking";
    return {
      thinking: old.thinking + event.thinking,
      phase: isOver ? "done" : "thinking",
      thinkingSince: begins ? now : old.thinkingSince,
      attempt: 0,
    };
  }
  if (event.message) {
    const ended = old.phase === "thinking" ? settled(old, now) : {};
    return { ...ended, content: old.content + event.message, phase: isOver ? "done" : "text", attempt: 0 };
  }
  return {};
}

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
  return { ...noted, isBehind: true, activeId: 0, runId: "", isInterrupting: false };
}

/** @param {State} state @returns {State} */
export const interrupting = (state) => (canInterrupt(state) ? { ...state, isInterrupting: true } : state);

/** @param {State} state @returns {State} */
export const cleared = (state) => ({ ...initial(), link: state.link, isFull: state.isFull, nextId: state.nextId });

/**
 * Begin to edit the last question, or (0) give it up.
 * @param {State} state
 * @param {number} id
 * @returns {State}
 */
export const editing = (state, id) => ({ ...state, editingId: id });

/**
 * Take what the gateway says of itself and of Ollama; null: it does not answer.
 * @param {State} state
 * @param {{upstream: {reachable: boolean, model_ready: boolean}, streams: number, max_streams: number} | null} status
 * @returns {State}
 */
export function linked(state, status) {
  if (status === null) return { ...state, link: "disconnected" };
  const { reachable, model_ready: isReady } = status.upstream;
  const link = !reachable ? "waiting" : isReady ? "connected" : "missing";
  return { ...state, link, isFull: status.streams >= status.max_streams };
}
