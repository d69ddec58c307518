// @ts-check
/** One message of the conversation, and what the events of its stream make of it: pure, as state.js, its one caller. */

/**
 * @typedef {{code: string, message: string, words?: string}} Failure words: Ollama's own, where the message has more
 * @typedef {{eval_count?: number, eval_duration?: number, total_duration?: number, context?: Context, context_full?: boolean}} Stats
 *   Ollama's counts and durations, nanoseconds; context_full: the prompt took all of the context
 * @typedef {{used: number, size: number}} Context tokens of prompt and answer, and those that the model can hold
 * @typedef {"waiting" | "thinking" | "text" | "done"} Phase
 * @typedef {"stop" | "length" | "interrupted" | "superseded" | "truncated" | "error" | ""} Reason
 *
 * @typedef {object} Message
 * @property {number} id
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {readonly string[]} images a question's pictures, as base64
 * @property {string} thinking
 * @property {Phase} phase
 * @property {Reason} reason why it ended; "" while it has not
 * @property {Failure | null} failure
 * @property {Stats | null} stats
 * @property {string[]} tools names of the tools that the model asked for
 * @property {number} askedAt when the answer, or what it waits for, began
 * @property {number} thinkingSince
 * @property {number} thoughtMs
 * @property {number} writtenAt when its last words came; 0 while none are expected
 * @property {number} writtenMs how long its words have been coming
 * @property {number} attempt the request to Ollama that is awaited; 0 where no event has spoken of one
 * @property {boolean} isUnloading it is awaited because a request hung, and the model is unloaded
 * @property {boolean} isEvaluating it is awaited because Ollama, which is not away, evaluates a prompt
 * @property {boolean} isRefused Ollama refused its question, and has not begun to answer it since
 * @property {string} place the id of the last event that has come of its run; "" where none has
 * @property {Base} base what it had when that run began
 */

/** @typedef {{content: number, thinking: number, tools: number}} Base lengths; what follows is the run's own */

/**
 * @param {number} id
 * @param {"user" | "assistant"} role
 * @param {Partial<Message>} given
 * @returns {Message}
 */
export function createMessage(id, role, given) {
  return {
    id,
    role,
    content: "",
    images: [],
    thinking: "",
    phase: "done",
    reason: "",
    failure: null,
    stats: null,
    tools: [],
    askedAt: 0,
    thinkingSince: 0,
    thoughtMs: 0,
    writtenAt: 0,
    writtenMs: 0,
    attempt: 0,
    isUnloading: false,
    isEvaluating: false,
    isRefused: false,
    place: "",
    base: { content: 0, thinking: 0, tools: 0 },
    ...given,
  };
}

/** The code of an answer's end where Ollama refused the question for good. */
export const REFUSED = "upstream_refused";

/** @param {Message} each @returns {boolean} */
export const isUnfinished = (each) => each.role === "assistant" && each.phase === "done" && each.reason !== "stop";

/**
 * Tell whether the model came to its end without saying anything, as some do.
 * @param {Message} each
 * @returns {boolean}
 */
export const isEmpty = (each) =>
  each.role === "assistant" && each.phase === "done" && each.reason === "stop" && !each.content.trim() && !each.tools.length;

/** A context that is filled to this part is worth a word: the next question may not fit. */
const NEARLY_FULL = 0.9;

/**
 * Tell how much of the context an answer's conversation takes, in percent; 0 where that is not worth a word.
 * @param {Stats} stats
 * @returns {number}
 */
export function contextPercent({ context, context_full: isFull }) {
  if (!context) return 0;
  const part = context.used / context.size;
  return isFull ? 100 : part >= NEARLY_FULL ? Math.min(Math.floor(part * 100), 100) : 0;
}

/**
 * Tell what changes in a message that nothing more comes for.
 * @param {Message} old
 * @param {number} now
 * @returns {Partial<Message>}
 */
export function settled(old, now) {
  const isThinking = old.phase === "thinking";
  const thoughtMs = isThinking ? Math.max(now - old.thinkingSince, 1) : old.thoughtMs;
  return { phase: "done", attempt: 0, writtenAt: 0, thoughtMs };
}

/**
 * Tell what the coming of words changes in their clock.
 * @param {Message} old
 * @param {number} now
 * @returns {Partial<Message>}
 */
const written = (old, now) => ({
  writtenAt: now,
  writtenMs: old.writtenMs + (old.writtenAt ? Math.max(now - old.writtenAt, 0) : 0),
});

/**
 * Tell what an end event changes.
 * @param {Message} old
 * @param {any} event
 * @param {number} now
 * @returns {Partial<Message>}
 */
export const ended = (old, event, now) => ({
  ...settled(old, now),
  isRefused: event.done_reason !== "stop" && (old.isRefused || (event.error?.code === REFUSED && old.content === "")),
  reason: event.done_reason,
  failure: event.error ?? null,
  stats: event.stats?.eval_count ? event.stats : old.stats,
});

/** @param {any[]} calls @returns {string[]} */
const toolNames = (calls) => calls.map((call) => String(call.function?.name ?? "?"));

/**
 * Tell what changes where a run says anew all that it has said so far; what was there before the run stays.
 * @param {Message} old
 * @param {any} event
 * @param {number} now
 * @returns {Partial<Message>}
 */
function rewritten(old, event, now) {
  const phase = event.text ? "text" : event.thinking ? "thinking" : "waiting";
  return {
    ...(old.phase === phase ? {} : settled(old, now)),
    ...written(old, now),
    content: old.content.slice(0, old.base.content) + event.text,
    thinking: old.thinking.slice(0, old.base.thinking) + (event.thinking ?? ""),
    tools: [...old.tools.slice(0, old.base.tools), ...toolNames(event.tool_calls ?? [])],
    phase: old.phase === "done" ? "done" : phase,
    thinkingSince: old.phase === phase ? old.thinkingSince : now,
    attempt: 0,
  };
}

/**
 * Tell what an event between start and end changes.
 * @param {Message} old
 * @param {any} event
 * @param {number} now
 * @returns {Partial<Message>}
 */
export function grown(old, event, now) {
  const isOver = old.phase === "done"; // superseded: its last words come after the next question
  if (event.status === "waiting") {
    const isUnloading = event.reason === "upstream_timeout";
    const isEvaluating = event.reason === "evaluating";
    const askedAt = old.attempt || isEvaluating ? old.askedAt : now;
    return { attempt: event.attempt, isUnloading, isEvaluating, askedAt, writtenAt: 0 };
  }
  if (event.status === "resumed") return { attempt: 0, askedAt: now };
  if (event.status === "restarted") {
    return { attempt: 0, askedAt: now, thinking: old.thinking.slice(0, old.base.thinking), phase: isOver ? "done" : "waiting" };
  }
  if (event.status === "reset") return rewritten(old, event, now);
  if (event.tool_calls) return { tools: [...old.tools, ...toolNames(event.tool_calls)], attempt: 0, isRefused: false };
  if (event.thinking) {
    const begins = old.phase !== "thinking";
    return {
      ...written(old, now),
      thinking: old.thinking + event.thinking,
      phase: isOver ? "done" : "thinking",
      thinkingSince: begins ? now : old.thinkingSince,
      attempt: 0,
      isRefused: false,
    };
  }
  if (event.message) {
    const thought = old.phase === "thinking" ? settled(old, now) : {};
    const phase = isOver ? "done" : "text";
    return { ...thought, ...written(old, now), content: old.content + event.message, phase, attempt: 0, isRefused: false };
  }
  return {};
}
