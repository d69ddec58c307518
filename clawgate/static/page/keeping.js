// @ts-check
/**
 * Keeps one conversation in this browser, in step with what other windows keep of it. A write that comes after another
 * window's is not made: the two copies become one first.
 */

import { titleOf } from "../core/conversations.js";
import { merged, withLater } from "../core/merging.js";
import { isChanged, packed, unpacked } from "../core/packing.js";
import { IDLE, inPlaceOf, initial, lastMessage, messageOf, streamingId } from "../core/state.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/conversations.js").Entry} Entry
 * @typedef {ReturnType<typeof mountKeeping>} Keeping
 *
 * @typedef {object} Surroundings
 * @property {import("../parts/archive.js").Archive} archive
 * @property {(error: unknown) => Promise<boolean>} makeRoom false: there is no more to be had
 * @property {(id: string) => boolean} answersElsewhere
 * @property {() => Promise<void>} askWho asks the other windows which conversations answer there, and waits a moment
 * @property {(news: import("./tabs.js").News) => void} tell tells the other windows
 * @property {(id: string) => void} forget notes that no other window's answer streams there any more
 * @property {(entry: Entry, isAnswering: boolean) => void} onWritten
 * @property {(id: string) => void} onGone another window has erased it
 */

const SAVE_MS = 1000;
const SHARE = 20; // a write takes at most this part of the time, however long the conversation

/**
 * @param {import("../core/store.js").Store} store of the conversation
 * @param {Entry} first its entry in the archive, or a new one
 * @param {State} known what the archive has of it
 * @param {Surroundings} surroundings
 */
export function mountKeeping(store, first, known, { archive, makeRoom, answersElsewhere, onWritten, onGone }) {
  let entry = first;
  let saved = known;
  let timer = 0;
  let pauseMs = SAVE_MS;
  let isAgain = false;
  let isGone = false;
  let readId = 0; // the answer of another window that was read along last, and has not been gone on with here
  /** @type {Promise<void> | null} */
  let writing = null;

  /** @returns {Promise<void>} once what is there now is kept */
  async function save() {
    window.clearTimeout(timer);
    timer = 0;
    if (writing) {
      isAgain = true;
      return writing;
    }
    const began = performance.now();
    writing = write().catch(() => undefined);
    pauseMs = Math.max(SAVE_MS, SHARE * (performance.now() - began)); // the part that the page has to wait for
    await writing;
    writing = null;
    if (isAgain) {
      isAgain = false;
      await save();
    }
  }

  async function write() {
    const state = store.get();
    if (isGone || !isChanged(saved, state)) return;
    const { body, pictures } = packed(state);
    const isSaid = state.messages.length > 0 && !isSameMoment(lastMessage(saved), lastMessage(state));
    const next = {
      ...entry,
      title: titleOf(state),
      updatedAt: isSaid || !entry.updatedAt ? Date.now() : entry.updatedAt,
      count: state.messages.length,
      pictures: Object.values(pictures).flat().length,
      sessionId: state.sessionId,
      isAnswering: streamingId(state) !== 0,
    };
    for (;;) {
      try {
        const done = await archive.write(next, body, hasSamePictures(saved, state) ? null : pictures);
        if (done === "gone") return gone();
        if (done === "newer") return void (await catchUp());
        [entry, saved] = [done, state];
        return onWritten(entry, streamingId(state) !== 0);
      } catch (error) {
        if (!(await makeRoom(error))) return;
      }
    }
  }

  function gone() {
    if (isGone) return;
    isGone = true;
    onGone(entry.id);
  }

  /**
   * Take over the words that another window has written since. Those that were said here meanwhile stay.
   * @param {boolean} isNews whether more is known of it than its revision: that its answer streams elsewhere
   * @returns {Promise<void>}
   */
  async function catchUp(isNews = false) {
    const now = await archive.entry(entry.id);
    if (entry.revision > 0 && (!now || now.isErased)) return gone();
    if (!now || now.revision < entry.revision || (now.revision === entry.revision && !isNews)) return;
    const kept = await archive.read(entry.id);
    if (!kept) return gone();
    const mine = store.get();
    const isRead = !mine.activeId && answersElsewhere(entry.id);
    const theirs = unpacked(initial(), kept.body, kept.pictures, isRead ? "elsewhere" : "");
    const { draft, edit, editingId, isInterrupting } = mine; // these are this window's own
    const hasMore = mine.activeId !== 0 || isChanged({ ...saved, draft, edit, editingId }, mine, readId);
    const next = hasMore ? merged(mine, theirs, saved) : withLater(theirs, messageOf(mine, readId));
    const hasEnded = messageOf(next, theirs.elsewhereId)?.phase === "done"; // it was read to its end here meanwhile
    const { elsewhereId, runId } = mine.activeId ? mine : hasEnded ? IDLE : theirs;
    entry = kept.entry;
    const isOn = isInterrupting && (mine.activeId || elsewhereId) !== 0;
    const whole = { ...inPlaceOf(next, mine), draft, edit, editingId, elsewhereId, runId, isInterrupting: isOn };
    saved = hasMore ? theirs : { ...whole, messages: theirs.messages };
    store.set(whole);
  }

  store.watch((next) => {
    readId = next.elsewhereId || (next.activeId ? 0 : readId);
    if (isGone || !isChanged(saved, next)) return;
    if (!writing && next.messages.length !== saved.messages.length) save();
    else timer ||= window.setTimeout(save, pauseMs);
  });

  return {
    save,
    catchUp,
    entry: () => entry,
    /** @returns {{id: string, revision: number, body: import("../core/packing.js").Body} | null} what is not written yet */
    unsaved() {
      const state = store.get();
      if (isGone || !isChanged(saved, state)) return null;
      return { id: entry.id, revision: entry.revision, body: packed(state).body };
    },
    /** Write nothing more: it has been erased. */
    end() {
      isGone = true;
    },
  };
}

/**
 * @param {State} one
 * @param {State} other
 */
function hasSamePictures(one, other) {
  const of = (/** @type {State} */ state) =>
    [state.messages, ...state.others.map((tail) => tail.messages)].flat().flatMap((each) => each.images);
  const [before, now] = [of(one), of(other)];
  return before.length === now.length && before.every((each, index) => each === now[index]);
}

/**
 * @param {import("../core/message.js").Message | undefined} one
 * @param {import("../core/message.js").Message | undefined} other
 */
const isSameMoment = (one, other) => one?.id === other?.id && one?.phase === other?.phase && one?.content === other?.content;
