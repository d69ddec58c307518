// @ts-check
/**
 * The conversations that this browser keeps: an entry of each for the list, what was said, and the pictures. A write
 * names the revision that it was made from: an older copy never overwrites a newer one.
 */

import { openTables } from "./tables.js";

/**
 * @typedef {import("../core/conversations.js").Entry} Entry
 * @typedef {import("../core/packing.js").Body} Body
 * @typedef {import("../core/packing.js").Pictures} Pictures
 *
 * @typedef {{entry: Entry, body: Body, pictures: Pictures}} Kept
 * @typedef {Awaited<ReturnType<typeof openArchive>>} Archive
 */

const BATCH = 25; // conversations that a search reads at once: half a megabyte as a rule

/** Open it. It lasts as long as the page if the browser keeps nothing. */
export async function openArchive() {
  const { isLasting, transact } = await openTables();

  /**
   * @param {string} id
   * @param {(entry: Entry) => Entry} change
   * @returns {Promise<Entry | null>} null: there is no such conversation
   */
  function changed(id, change) {
    return transact("readwrite", async ({ get, put }) => {
      const entry = await get("entries", id);
      if (!entry || entry.isErased) return null;
      const next = change(entry);
      put("entries", next);
      return next;
    });
  }

  return {
    isLasting,

    /** @returns {Promise<Entry[]>} all of them, the removed ones too */
    entries: () => transact("readonly", ({ all }) => all("entries")),

    /**
     * @param {string} id
     * @returns {Promise<Entry | undefined>}
     */
    entry: (id) => transact("readonly", ({ get }) => get("entries", id)),

    /**
     * @param {string} id
     * @returns {Promise<Kept | null>} null: it is not there (any more)
     */
    read: (id) =>
      transact("readonly", async ({ get }) => {
        const [entry, body, pictures] = [await get("entries", id), await get("bodies", id), await get("pictures", id)];
        return entry && body ? { entry, body: body.body, pictures: pictures?.pictures ?? {} } : null;
      }),

    /**
     * Write a conversation, if the one that is there is the one that it was made from.
     * @param {Entry} entry its revision is the one that it was made from; 0: it is new
     * @param {Body} body
     * @param {Pictures | null} pictures null: they are as they were
     * @returns {Promise<Entry | "newer" | "gone">} the entry as it is now; or another window has written meanwhile, or
     *   erased it, and nothing is written
     * @throws {DOMException} QuotaExceededError: the browser's room is full
     */
    write: (entry, body, pictures) =>
      transact("readwrite", async ({ get, put, remove }) => {
        const now = await get("entries", entry.id);
        if (now ? now.isErased : entry.revision > 0) return "gone";
        if (now && now.revision !== entry.revision) return "newer";
        const next = { ...entry, revision: entry.revision + 1, removedAt: now?.removedAt ?? 0 };
        put("entries", next);
        put("bodies", { id: entry.id, body });
        if (pictures && Object.keys(pictures).length) put("pictures", { id: entry.id, pictures });
        else if (pictures) remove("pictures", entry.id);
        return next;
      }),

    /**
     * Take a conversation out of the list, or (0) put it back.
     * @param {string} id
     * @param {number} removedAt
     */
    mark: (id, removedAt) => changed(id, (entry) => ({ ...entry, removedAt })),

    /**
     * Erase a conversation. Its entry stays until the server has forgotten it, too: see `bury`.
     * @param {string} id
     */
    erase: (id) =>
      transact("readwrite", async ({ get, put, remove }) => {
        const entry = await get("entries", id);
        if (entry) put("entries", { ...entry, title: "", isErased: true, pictures: 0 });
        remove("bodies", id);
        remove("pictures", id);
      }),

    /** @param {string} id of a conversation that nothing is left of */
    bury: (id) => transact("readwrite", async ({ remove }) => remove("entries", id)),

    /**
     * Let a conversation's pictures go. Its texts stay as they are, and so does its revision.
     * @param {string} id
     */
    dropPictures: (id) =>
      transact("readwrite", async ({ get, put, remove }) => {
        const entry = await get("entries", id);
        if (entry) put("entries", { ...entry, pictures: 0 });
        remove("pictures", id);
      }),

    /** @returns {AsyncGenerator<{id: string, body: Body}[]>} what was said, a few conversations at a time */
    async *bodies() {
      /** @type {string | undefined} */
      let last;
      for (;;) {
        const from = last;
        const batch = await transact("readonly", ({ all }) => all("bodies", from, BATCH));
        last = batch.at(-1)?.id;
        if (last === undefined) return;
        yield batch;
      }
    },
  };
}
