// @ts-check
/** Brings a conversation and its session on the server together, after it has been read from this browser. */

import { ApiError } from "../core/api.js";
import { reconciled } from "../core/history.js";
import { pause } from "../core/pause.js";

const SETTLE_TRIES = 10;
const SETTLE_MS = 200;

/**
 * @param {import("../core/store.js").Store} store of the conversation
 * @param {import("../core/api.js").Api} api
 * @param {import("./access.js").Access} access
 * @param {boolean} isNew the server cannot know it
 */
export function mountReconciling(store, api, access, isNew) {
  let isDone = isNew;

  /** @returns {Promise<"known" | "forgotten" | "later">} what the server says; later: it cannot be asked now */
  async function reconcile() {
    const { sessionId } = store.get();
    if (!sessionId || isDone) return "known";
    try {
      let seen = await api.session(sessionId);
      for (let tries = 0; seen?.streaming && isStill(sessionId) && tries < SETTLE_TRIES; tries += 1) {
        await pause(SETTLE_MS); // the gateway settles the cut answer in a moment
        seen = await api.session(sessionId);
      }
      if (seen?.streaming) return "later"; // another window reads it, or whoever asks next supersedes it
      isDone = true;
      if (!isStill(sessionId)) return "known";
      store.set(reconciled(store.get(), seen?.messages ?? null));
      return seen ? "known" : "forgotten";
    } catch (error) {
      if (error instanceof ApiError && error.code === "unauthorized") access.want("restore", reconcile);
      return "later";
    }
  }

  /** Tell whether nothing has been asked meanwhile, here or in another window. @param {string} sessionId */
  function isStill(sessionId) {
    const now = store.get();
    return now.sessionId === sessionId && now.activeId === 0 && now.elsewhereId === 0;
  }

  return {
    reconcile,
    /** Tell whether the server has been heard. */
    isDone: () => isDone,
  };
}
