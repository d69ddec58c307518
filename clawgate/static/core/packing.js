// @ts-check
/** A conversation as this browser keeps it: pure. A field that a part of the page adds is kept, too. */

import { without } from "./fields.js";
import { createMessage } from "./message.js";
import { runOf } from "./place.js";
import { queueOf } from "./queue.js";
import { settingsOf } from "./settings.js";
import { IDLE, PAGE_WIDE, streamingId } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {Record<string, any>} Body what is kept of a state, but for its pictures
 * @typedef {Record<string, readonly string[]>} Pictures by the ids of their messages
 */

/** What a kept conversation has no use for, or finds out anew. */
const LEFT_OUT = [...PAGE_WIDE, "isInterrupting", "elsewhereId", "cutAt"];

/** What changes without a change of what is kept: it goes along with the messages that change with it. */
const FLEETING = [...LEFT_OUT, "nextId", ...Object.keys(IDLE)];

/**
 * Tell whether there is anything to keep in one state that is not in the other.
 * @param {State} one
 * @param {State} other
 * @param {number} [readId] the answer that is read along: it is another tab's to keep
 */
export function isChanged(one, other, readId = other.elsewhereId) {
  const before = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (one));
  const same = readId && isSameBut(one.messages, other.messages, readId) ? [...FLEETING, "messages"] : FLEETING;
  return Object.entries(other).some(([name, value]) => !same.includes(name) && before[name] !== value);
}

/**
 * @param {readonly Message[]} before
 * @param {readonly Message[]} now
 * @param {number} id of the message that may differ
 */
const isSameBut = (before, now, id) =>
  before.length === now.length && now.every((each, place) => each === before[place] || (each.id === id && before[place]?.id === id));

/**
 * Tell whether nothing has been said or written yet.
 * @param {State} state
 */
export const isBlank = (state) => state.messages.length === 0 && state.others.length === 0 && state.draft === "";

/**
 * Prepare a state to be kept. Pictures are kept apart: they are large, and change seldom.
 * @param {State} state
 * @returns {{body: Body, pictures: Pictures}}
 */
export function packed(state) {
  /** @type {Pictures} */
  const pictures = {};
  const bare = (/** @type {readonly Message[]} */ messages) =>
    messages.map((each) => {
      if (each.images.length === 0) return each;
      pictures[each.id] = each.images;
      return { ...each, images: [] };
    });
  const own = without(state, LEFT_OUT);
  const others = state.others.map((tail) => ({ ...tail, messages: bare(tail.messages) }));
  return { body: { ...own, activeId: streamingId(state), messages: bare(state.messages), others }, pictures };
}

/**
 * Read what `packed` made.
 * @param {State} state the page's
 * @param {any} body of this version, or of the first, which had neither branches nor a draft
 * @param {Pictures} pictures
 * @param {"" | "here" | "elsewhere"} streams where the answer that streamed is read on; "": nowhere, it was cut off
 * @returns {State} the one that was given, where the body is none
 */
export function unpacked(state, body, pictures = {}, streams = "") {
  if (!body || !Array.isArray(body.messages)) return state;
  const liveId = streams ? Number(body.activeId ?? 0) : 0;
  const revive = (/** @type {any[]} */ messages) => messages.map((each) => revived(each, pictures, liveId));
  const messages = revive(body.messages);
  const others = (body.others ?? []).map((/** @type {any} */ tail) => ({ ...tail, messages: revive(tail.messages) }));
  const all = [...messages, ...others.flatMap((/** @type {any} */ tail) => tail.messages)];
  const own = without(body, LEFT_OUT);
  const live = all.find((each) => each.id === liveId);
  const nextId = all.reduce((most, { id }) => Math.max(most, id + 1), Number(body.nextId) || 1);
  const queue = queueOf(body.queue, nextId);
  return {
    ...state,
    ...own,
    ...IDLE,
    ...(live ? { [streams === "here" ? "activeId" : "elsewhereId"]: liveId, runId: runOf(live.place) } : {}),
    messages,
    others,
    settings: settingsOf(body.settings),
    queue,
    nextId: nextId + queue.length,
  };
}

/**
 * @param {any} each
 * @param {Pictures} pictures
 * @param {number} liveId the answer that still streams
 * @returns {Message}
 */
function revived(each, pictures, liveId) {
  const images = pictures[each.id] ? { images: pictures[each.id] } : {};
  const message = { ...createMessage(each.id, each.role, {}), ...each, ...images };
  if (each.id === liveId) return message;
  return { ...message, phase: "done", attempt: 0, reason: each.role === "assistant" ? each.reason || "interrupted" : "" };
}
