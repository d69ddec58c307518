// @ts-check
/** What is let go when the browser's room is full: pictures first, then the oldest conversations, never one in use. */

import { toLetGo } from "../core/conversations.js";

const MOST = 5; // let go in one go: browsers count the room that becomes free some time later
const REST_MS = 60_000;

/**
 * @param {import("../parts/archive.js").Archive} archive
 * @param {() => Set<string>} inUse
 * @param {(entry: import("../core/conversations.js").Entry) => void} onErased
 * @param {(key: string) => void} notice
 */
export function mountRoom(archive, inUse, onErased, notice) {
  let count = 0;
  let began = 0;

  /**
   * Make room after a write has failed, and say what it has cost.
   * @param {unknown} error
   * @returns {Promise<boolean>} whether to try again
   */
  return async function makeRoom(error) {
    if (!(error instanceof DOMException) || error.name !== "QuotaExceededError") return fail();
    if (Date.now() - began > REST_MS) [began, count] = [Date.now(), 0];
    if (count === MOST) return fail();
    count += 1;
    try {
      const entries = await archive.entries();
      const chosen = toLetGo(entries, inUse());
      if (!chosen) return fail();
      if (chosen.what === "pictures") await archive.dropPictures(chosen.id);
      else await archive.erase(chosen.id);
      const entry = entries.find((each) => each.id === chosen.id);
      if (entry && chosen.what === "conversation") {
        await archive.bury(chosen.id); // the server forgets it by itself
        onErased({ ...entry, isErased: true });
      }
      notice(`storage.full.${chosen.what}`);
      return true;
    } catch {
      return fail();
    }
  };

  function fail() {
    notice("storage.full");
    return false;
  }
}
