// @ts-check
/**
 * Removes conversations: out of the list at once, here and on the server once the time to undo it is over. Whatever is
 * not done then (the window was closed, the server was away) is done later.
 */

import { ApiError } from "../core/failing.js";

/** @typedef {import("../core/conversations.js").Entry} Entry */

const UNDO_MS = 8000;
const LEFT_MS = UNDO_MS + 2000; // later than that nobody brings it back

/**
 * @param {object} page
 * @param {import("../parts/archive.js").Archive} page.archive
 * @param {import("../core/api.js").Api} page.api
 * @param {(news: import("./tabs.js").News) => void} page.tell
 * @param {import("../parts/undo.js").Undo} page.undo
 * @param {(entry: Entry) => void} page.onEntry one has been removed, brought back, or erased
 * @param {(key: string) => void} page.notice
 */
export function mountRemoval({ archive, api, tell, undo, onEntry, notice }) {
  /** Those that can still be brought back. @type {Map<string, Entry>} */
  let pending = new Map();
  let timer = 0;

  /**
   * Take a conversation out of the list; several in a row are brought back together.
   * @param {Entry} entry
   * @param {Promise<unknown>} ready its last words are written
   * @param {(ids: string[]) => void} onRestored
   */
  async function remove(entry, ready, onRestored) {
    pending.set(entry.id, entry);
    window.clearTimeout(timer);
    timer = window.setTimeout(finish, UNDO_MS);
    undo.show(pending.size, async () => onRestored(await restore()));
    onEntry({ ...entry, removedAt: Date.now() });
    await ready;
    const marked = pending.has(entry.id) && (await archive.mark(entry.id, Date.now()));
    if (!marked) return;
    tell({ kind: "removed", entry: marked });
    onEntry(marked);
  }

  async function restore() {
    window.clearTimeout(timer);
    const ids = [...pending.keys()];
    pending = new Map();
    for (const id of ids) {
      const entry = await archive.mark(id, 0);
      if (!entry) continue;
      tell({ kind: "restored", entry });
      onEntry(entry);
    }
    return ids;
  }

  /** Erase what can no longer be brought back. All requests are begun at once: the window may be closing. */
  async function finish() {
    window.clearTimeout(timer);
    const over = [...pending.values()];
    pending = new Map();
    undo.hide();
    await Promise.all(over.map(erase));
  }

  /** @param {Entry} entry */
  async function erase(entry) {
    const gone = { ...entry, isErased: true };
    const forgetting = forget(gone);
    await archive.erase(gone.id);
    tell({ kind: "erased", entry: gone });
    onEntry(gone);
    if (!(await forgetting)) notice("clear.offline");
  }

  /**
   * @param {Entry} entry
   * @returns {Promise<boolean>} false: the server could not be told
   */
  async function forget({ id, sessionId }) {
    try {
      if (sessionId) await api.forget(sessionId);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) return false;
    }
    await archive.bury(id);
    return true;
  }

  /** Do what a window that was closed could not do to its end; what another one may still bring back, later. */
  async function sweep() {
    for (const entry of await archive.entries()) {
      const restMs = entry.removedAt + LEFT_MS - Date.now();
      if (entry.isErased) await forget(entry);
      else if (!entry.removedAt || pending.has(entry.id)) continue;
      else if (restMs < 0) await erase(entry);
      else window.setTimeout(sweep, restMs + 1);
    }
  }

  window.addEventListener("pagehide", finish);
  return { remove, sweep };
}
