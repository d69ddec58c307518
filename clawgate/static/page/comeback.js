// @ts-check
/**
 * Brings the page back by itself after a cut connection or a restart of the gateway: the session is asked again, and
 * the answer that was cut off offers to go on. Nothing is asked of the model here: that would be a second run.
 */

import { isCutOff, recovered } from "../core/recovery.js";
import { lastMessage } from "../core/state.js";

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("../core/api.js").Api} api
 * @param {import("./view.js").View} view
 * @param {import("./keeping.js").Keeping} keeping
 * @returns {() => Promise<void>} called whenever the gateway answers
 */
export function mountComeback(store, api, view, keeping) {
  let isAsking = false;

  /** Return what the gateway has; null: nothing, undefined: that is not known yet. */
  async function ask() {
    const { sessionId } = store.get();
    if (!sessionId) return null;
    try {
      const seen = await api.session(sessionId);
      if (!seen) return null;
      return seen.streaming ? undefined : seen.messages; // it has not noticed yet that this reader is gone
    } catch {
      return undefined;
    }
  }

  return async () => {
    if (isAsking || !isCutOff(store.get())) return;
    isAsking = true;
    const before = lastMessage(store.get());
    const given = await ask();
    isAsking = false;
    if (given === undefined || lastMessage(store.get()) !== before) return;
    store.set(recovered(store.get(), given));
    keeping.save();
    const isWhole = lastMessage(store.get())?.reason === "stop";
    view.notice(isWhole ? "notice.whole" : "notice.back");
  };
}
