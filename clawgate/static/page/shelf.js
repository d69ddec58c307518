// @ts-check
/**
 * The conversations in this window's memory: the one that is shown, and those that answer behind it. Each has a store, a
 * talk and a keeping of its own, so that an answer lands in its conversation whatever is shown.
 */

import { newEntry, newId } from "../core/conversations.js";
import { merged } from "../core/merging.js";
import { unpacked } from "../core/packing.js";
import { begun, inPlaceOf, initial, streamingId } from "../core/state.js";
import { createStore } from "../core/store.js";
import { isSound } from "../core/transfer.js";
import { mountKeeping } from "./keeping.js";
import { mountLine } from "./queue.js";
import { mountReconciling } from "./reconciling.js";
import { mountTalk } from "./talk.js";

/**
 * @typedef {import("../core/store.js").Store} Store
 * @typedef {import("../core/conversations.js").Entry} Entry
 *
 * @typedef {object} Live
 * @property {string} id
 * @property {Store} store
 * @property {import("./keeping.js").Keeping} keeping
 * @property {ReturnType<typeof mountTalk>} talk
 * @property {ReturnType<typeof mountLine>} line
 * @property {ReturnType<typeof mountReconciling>} server
 *
 * @typedef {ReturnType<typeof mountShelf>} Shelf
 *
 * @typedef {object} Page what each of them needs of the page
 * @property {ReturnType<typeof import("../core/store.js").createShown>} shown
 * @property {import("../core/api.js").Api} api
 * @property {import("./view.js").View} view
 * @property {import("./access.js").Access} access
 * @property {import("./status.js").Standing} status
 * @property {import("./keeping.js").Surroundings} surroundings
 * @property {(live: Live, text: string, images: readonly string[]) => void} ask
 * @property {(answer: import("../core/message.js").Message) => void} onEnd an answer has ended
 * @property {() => void} onChange another one is shown, or another one answers
 */

/** @param {Page} page */
export function mountShelf({ shown, api, view, access, status, surroundings, ask, onEnd, onChange }) {
  /** @type {Map<string, Live>} */
  const lives = new Map();
  let turn = 0;

  /**
   * @param {Store} store
   * @param {Entry} entry
   * @param {import("../core/state.js").State} known what the archive has of it
   * @returns {Live}
   */
  function enliven(store, entry, known) {
    const keeping = mountKeeping(store, entry, known, surroundings);
    const said = (/** @type {(...given: any) => void} */ say) => (/** @type {any[]} */ ...given) =>
      shown.isShown(store) && say(...given);
    const voice = { ...view, notice: said(view.notice), hideNotice: said(view.hideNotice), announce: said(view.announce), announceEnd: said(view.announceEnd) };
    const talk = mountTalk({ store, api, view: voice, access, status, keeping, onEnd: ended });
    const line = mountLine(store, voice, (text, images) => ask(live, text, images));
    /** @type {Live} */
    const live = { id: entry.id, store, keeping, talk, line, server: mountReconciling(store, api, access, entry.revision === 0) };
    lives.set(live.id, live);
    shown.follow(store);

    /**
     * @param {import("../core/message.js").Message} answer
     * @param {boolean} isOwn
     */
    function ended(answer, isOwn) {
      surroundings.forget(live.id);
      if (isOwn) line.next(answer);
      onEnd(answer);
    }

    let answering = 0;
    store.watch((now) => {
      const isNews = answering !== streamingId(now);
      answering = streamingId(now);
      if (isNews) onChange();
      if (isNews && now.elsewhereId && live === open) readAlong();
      if (isNews && answering === 0) leave(live);
    });
    return live;
  }

  /** Let a conversation go that is kept, not shown, and does not answer. @param {Live} live */
  async function leave(live) {
    await live.keeping.save();
    if (live !== open && live.store.get().activeId === 0 && !live.keeping.unsaved()) lives.delete(live.id);
  }

  let open = enliven(shown.first, newEntry(shown.get().id, shown.get().sessionId, Date.now()), shown.get());

  /** @param {Live} live */
  function show(live) {
    const before = open;
    turn += 1;
    open = live;
    live.store.set(inPlaceOf(live.store.get(), shown.get()));
    shown.show(live.store);
    if (before !== live) leave(before);
    view.turnTo(live.store.get());
    onChange();
    if (before !== live && before.store.get().elsewhereId) before.talk.leave();
    readAlong();
  }

  /**
   * Read what streams in the conversation that is shown. An answer of another window is read along only while somebody
   * looks: a browser has six connections to one server, so that a seventh window would not even load.
   */
  function readAlong() {
    if (!document.hidden || !open.store.get().elsewhereId) open.talk.resume();
    else open.talk.leave();
  }

  document.addEventListener("visibilitychange", readAlong);

  /**
   * Begin a conversation and show it.
   * @param {import("../core/settings.js").Settings} settings
   */
  function create(settings) {
    const known = begun(newId("c"), newId("sess"), Date.now());
    const state = { ...known, settings };
    show(enliven(createStore(state), newEntry(state.id, state.sessionId, state.createdAt), known));
  }

  /**
   * Show a conversation.
   * @param {string} id
   * @param {{id: string, revision: number, body: any} | null} [left] what this window had not written when it was left
   * @returns {Promise<boolean>} false: it is not there (any more)
   */
  async function turnTo(id, left = null) {
    const mine = (turn += 1);
    const live = lives.get(id) ?? (await load(id, left));
    if (live && mine === turn) show(live);
    return live !== null;
  }

  /**
   * @param {string} id
   * @param {{id: string, revision: number, body: any} | null} [left]
   * @returns {Promise<Live | null>}
   */
  async function load(id, left = null) {
    const read = await surroundings.archive.read(id);
    const kept = read && isSound(read.body) ? read : null;
    if (kept?.body["activeId"] && !surroundings.answersElsewhere(id)) await surroundings.askWho();
    if (kept ? kept.entry.removedAt : !left || left.revision > 0) return null;
    const streams = surroundings.answersElsewhere(id) ? "elsewhere" : "here";
    const known = kept ? unpacked({ ...initial(), id }, kept.body, kept.pictures, streams) : { ...initial(), id };
    const entry = kept?.entry ?? newEntry(id, left?.body.sessionId ?? null, Date.now());
    const live = lives.get(id) ?? enliven(createStore(left ? withLeft(known, entry, left, kept?.pictures) : known), entry, known);
    if (live.store.get().activeId === 0) return live;
    surroundings.tell({ kind: "answering", id });
    live.talk.resume();
    return live;
  }

  return {
    open: () => open,
    lives,
    create,
    turnTo,
    load,
    leave,
    /**
     * Read an answer on whose window has been left, so that it has a reader.
     * @param {string} id
     * @returns {boolean} false: it is not read along here
     */
    readOn(id) {
      if (open.id !== id || !open.store.get().elsewhereId) return false;
      open.talk.resume();
      return true;
    },
    /**
     * Let go of a conversation that another window has removed; what is being written stays in the field.
     * @param {string} id
     * @returns {boolean} whether it was shown
     */
    drop(id) {
      const live = lives.get(id);
      if (!live) return false;
      const { draft, settings } = live.store.get();
      lives.delete(id);
      if (live !== open) return false;
      create(settings);
      open.store.set({ ...open.store.get(), draft });
      view.turnTo(open.store.get());
      return true;
    },
    /** @returns {string[]} the conversations whose answers stream to this window */
    answering: () => [...lives.values()].filter((each) => each.store.get().activeId !== 0).map((each) => each.id),
  };
}

/**
 * Add what a window had not written when it was left.
 * @param {import("../core/state.js").State} known
 * @param {Entry} entry
 * @param {{revision: number, body: any}} left
 * @param {import("../core/packing.js").Pictures} [pictures]
 */
function withLeft(known, entry, left, pictures) {
  const own = unpacked(known, left.body, pictures, known.elsewhereId ? "elsewhere" : "here");
  return left.revision === entry.revision ? own : { ...merged(own, known, known), ...draftOf(own) };
}

/** @param {import("../core/state.js").State} state */
const draftOf = ({ draft, edit, editingId }) => ({ draft, edit, editingId });
