// @ts-check
/** The messages that wait behind the running answer: pure. Each is sent once the answer before it has ended by itself. */

import { streamingId } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {{id: number, content: string, images: readonly string[]}} Queued
 */

/** More are no queue, but a text that is written elsewhere; and each may hold pictures. */
export const MAX_QUEUED = 20;

/** @param {State} state @returns {boolean} */
export const canQueue = (state) => state.queue.length < MAX_QUEUED;

/**
 * Add a message at the end.
 * @param {State} state
 * @param {string} content
 * @param {readonly string[]} images
 * @returns {State}
 */
export const queued = (state, content, images) => ({
  ...state,
  queue: [...state.queue, { id: state.nextId, content, images }],
  nextId: state.nextId + 1,
});

/** @param {State} state @param {number} id @returns {State} */
export const withdrawn = (state, id) => ({ ...state, queue: state.queue.filter((each) => each.id !== id) });

/**
 * Tell which message is sent now that an answer has ended. One that was interrupted or has failed sends none, and none is
 * sent while a question is being edited, which it would replace: the reader decides then.
 * @param {State} state
 * @param {Message} answer
 * @returns {Queued | undefined}
 */
export function nextQueued(state, answer) {
  const isWhole = answer.reason === "stop" || answer.reason === "length";
  return isWhole && streamingId(state) === 0 && state.editingId === 0 ? state.queue[0] : undefined;
}

/**
 * Leave out of a list one message for each of some others. Ids do not count: a queue that is read anew has others.
 * @param {readonly Queued[]} list
 * @param {readonly Queued[]} others
 * @returns {Queued[]}
 */
function without(list, others) {
  const rest = [...list];
  for (const other of others) {
    const at = rest.findIndex((each) => each.content === other.content && each.images.join() === other.images.join());
    if (at >= 0) rest.splice(at, 1);
  }
  return rest;
}

/**
 * Put the queues of two windows together. A message that one of them has sent or withdrawn is left out: it would be sent
 * twice.
 * @param {readonly Queued[]} mine
 * @param {readonly Queued[]} theirs
 * @param {readonly Queued[]} base mine, as it was when both were the same
 * @param {number} nextId
 * @returns {Queued[]}
 */
export function mergedQueues(mine, theirs, base, nextId) {
  const kept = without(mine, without(base, theirs));
  const added = without(without(theirs, base), without(mine, base));
  return [...kept, ...added.map((each, index) => ({ ...each, id: nextId + index }))];
}

/**
 * Read a kept queue, with ids of its own.
 * @param {any} kept
 * @param {number} firstId
 * @returns {Queued[]}
 */
export function queueOf(kept, firstId) {
  const given = Array.isArray(kept) ? kept.filter((each) => typeof each?.content === "string") : [];
  const isPictures = (/** @type {unknown} */ images) => Array.isArray(images) && images.every((each) => typeof each === "string");
  return given.map(({ content, images }, index) => ({ id: firstId + index, content, images: isPictures(images) ? images : [] }));
}
