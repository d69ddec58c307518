// @ts-check
/** Brings a conversation and its session on the server together, after it has been read from this browser. */

import { ApiError } from "../core/failing.js";
import { reconciled } from "../core/history.js";
import { streamingId } from "../core/state.js";

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
    if (!isStill(sessionId)) return "later"; // what streams is read to its end
    try {
      const seen = await api.session(sessionId);
      if (seen?.streaming) return "later"; // another client reads it, or whoever asks next supersedes it
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
    return now.sessionId === sessionId && streamingId(now) === 0;
  }

  return {
    reconcile,
    /** Tell whether the server has been heard. */
    isDone: () => isDone,
  };
}
