// @ts-check
/** Watches how the gateway and Ollama are: every few seconds, sooner while something is amiss, at once when asked. */

const STATUS_MS = 5000;
const STATUS_AGAIN_MS = 2000;

/** @typedef {import("../core/api.js").Status} Status */

/**
 * @param {() => Promise<Status>} ask
 * @param {(status: Status | null, error: unknown) => boolean} onStatus takes what came, or why nothing came; tells
 *   whether all is well
 * @returns {() => Promise<void>} looks now, and from now on
 */
export function mountLink(ask, onStatus) {
  let timer = 0;

  /** @param {number} ms */
  function lookAfter(ms) {
    window.clearTimeout(timer);
    timer = window.setTimeout(look, ms);
  }

  async function look() {
    lookAfter(STATUS_MS * 2);
    let isWell = false;
    try {
      isWell = onStatus(await ask(), null);
    } catch (error) {
      isWell = onStatus(null, error);
    }
    lookAfter(isWell ? STATUS_MS : STATUS_AGAIN_MS);
  }

  document.addEventListener("visibilitychange", () => document.hidden || look());
  window.addEventListener("online", look);
  window.addEventListener("offline", look);
  return look;
}
