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
