// @ts-check
/** What is shown when the page is opened: what this window showed when it was left, or else the latest conversation. */

import { listed, newEntry, newId, titleOf } from "../core/conversations.js";
import { packed, unpacked } from "../core/packing.js";
import { begun } from "../core/state.js";
import { isSound } from "../core/transfer.js";
import { kept } from "../parts/storage.js";

/** @typedef {import("../core/conversations.js").Entry} Entry */

const VERSION = 1; // of the one conversation that the page kept before there was a list

/**
 * @param {object} page
 * @param {import("../parts/archive.js").Archive} page.archive
 * @param {import("../core/store.js").Store} page.shown
 * @param {import("./shelf.js").Shelf} page.shelf
 * @param {import("./view.js").View} page.view
 * @param {(entry: Entry, isAnswering: boolean) => void} page.onWritten
 */
export function mountOpening({ archive, shown, shelf, view, onWritten }) {
  const openId = kept("open", () => sessionStorage);
  const unsaved = kept("unsaved", () => sessionStorage);
  const former = kept("chat");
  let isRestored = false;

  /** Take over the conversation of a page of an earlier version, once. */
  async function takeOver() {
    const body = parsed(former.get());
    if (body?.version !== VERSION || !isSound(body)) return;
    const { version, ...own } = body;
    const sessionId = typeof own.sessionId === "string" ? own.sessionId : newId("sess");
    const state = { ...unpacked(begun(`c_${sessionId}`, sessionId, Date.now()), own), sessionId };
    const entry = { ...newEntry(state.id, sessionId, state.createdAt), title: titleOf(state), count: state.messages.length };
    try {
      const done = await archive.write({ ...entry, updatedAt: Date.now() }, packed(state).body, null);
      if (typeof done === "object") onWritten(done, false);
      if (archive.isLasting) former.set(null);
    } catch {
      // there is no room: it stays where it is
    }
  }

  /** Write down what could not be written in time: the browser waits for no database when a page is left. */
  function leave() {
    if (!isRestored) return; // left at once: what it was left with the last time holds
    const left = shelf.open().keeping.unsaved();
    unsaved.set(left && JSON.stringify(left));
    saveAll();
    for (const { talk } of shelf.lives.values()) talk.leave();
  }

  function saveAll() {
    for (const { keeping } of shelf.lives.values()) keeping.save();
  }

  /** Read on what answered behind the conversation that is shown. @param {Entry[]} others */
  async function readOn(others) {
    for (const { id, isAnswering, removedAt } of others) {
      const live = isAnswering && !removedAt ? await shelf.load(id) : null;
      if (live) shelf.leave(live);
    }
  }

  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", ({ persisted }) => persisted && shelf.lives.forEach(({ talk }) => talk.resume()));
  document.addEventListener("visibilitychange", () => document.hidden && saveAll());

  return {
    /** @param {ReadonlyMap<string, Entry>} entries */
    async restore(entries) {
      await takeOver();
      const written = parsed(unsaved.get());
      const left = isSound(written?.body) ? written : null;
      const id = openId.get() ?? listed(entries.values())[0]?.id;
      const isThere = id !== undefined && (await shelf.turnTo(id, left?.id === id ? left : null));
      if (!isThere) view.turnTo(shelf.open().store.get());
      isRestored = true;
      unsaved.set(null);
      let before = "";
      const note = () => before !== shelf.open().id && openId.set((before = shelf.open().id));
      shown.watch(note); // at once: a browser that is short of memory throws a page away without a word
      note();
      readOn([...entries.values()].filter((each) => each.id !== id)).catch(() => undefined); // the next opening does it again
    },
  };
}

/** @param {string | null} text @returns {any} null where it is no JSON */
function parsed(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
