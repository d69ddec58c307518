// @ts-check
/** The interrupts that the gateway has not heard: an answer without a reader goes on for a while, so they are told late. */

import { streamingId } from "../core/state.js";

const LATE_MS = 10_000; // so long a request that was given up before it began may still reach the gateway

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("../core/api.js").Api} api
 */
export function mountUntold(store, api) {
  /** @type {{sessionId: string, runId: string, until: number}[]} */
  let waiting = [];

  /** @param {string} sessionId @returns {Promise<string>} the run in flight, where no other can be meant; else "" */
  async function runOf(sessionId) {
    const seen = await api.session(sessionId);
    const isOther = store.get().sessionId === sessionId && streamingId(store.get()) !== 0;
    return (!isOther && seen?.run_id) || "";
  }

  return {
    /**
     * @param {string | null} sessionId
     * @param {string} runId "" where the run had not begun
     */
    add(sessionId, runId) {
      if (sessionId) waiting.push({ sessionId, runId, until: Date.now() + LATE_MS });
    },
    /** Tell them: the gateway answers. */
    async tell() {
      const [late, now] = [waiting, Date.now()];
      waiting = [];
      for (const each of late) {
        try {
          const runId = each.runId || (await runOf(each.sessionId));
          if (runId) await api.interrupt(each.sessionId, runId);
          else if (now < each.until) waiting.push(each);
        } catch {
          waiting.push(each);
        }
      }
    },
  };
}
