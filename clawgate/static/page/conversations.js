// @ts-check
/** The conversations of this browser in the page: listed, opened, asked, removed, saved as files, in step with other windows. */

import { switched, siblings } from "../core/branches.js";
import { found, shortened, textsOf } from "../core/conversations.js";
import { isBlank } from "../core/packing.js";
import { pause } from "../core/pause.js";
import { DEFAULTS } from "../core/settings.js";
import * as moves from "../core/state.js";
import { mountConversations as mountList } from "../parts/conversations.js";
import { hook } from "../parts/dom.js";
import { mountDrawer } from "../parts/drawer.js";
import { mountUndo } from "../parts/undo.js";
import { mountFiles } from "./files.js";
import { mountOpening } from "./opening.js";
import { mountRemoval } from "./removal.js";
import { mountRoom } from "./room.js";
import { mountShelf } from "./shelf.js";
import { mountTabs } from "./tabs.js";
import { mountTransfers } from "./transfers.js";

/** @typedef {import("../core/conversations.js").Entry} Entry */

const MAX_ANSWERING = 3; // a browser opens six connections to one server for all its windows: interrupts need one, too
const FRESH_MS = 500;
const WHO_MS = 150;
const CHANGES = ["regenerate", "retry", "continue"];

/**
 * @param {object} page
 * @param {import("../parts/archive.js").Archive} page.archive
 * @param {ReturnType<typeof import("../core/store.js").createShown>} page.shown
 * @param {import("../core/api.js").Api} page.api
 * @param {import("./view.js").View} page.view
 * @param {import("./access.js").Access} page.access
 * @param {import("./status.js").Standing} page.status
 * @param {(answer: import("../core/message.js").Message) => void} page.onEnd an answer has ended
 */
export function mountConversations({ archive, shown, api, view, access, status, onEnd }) {
  const drawer = mountDrawer();
  const undo = mountUndo(view.words, () => drawer.focus() || view.focus());
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  const list = mountList({ open, rename, choose, search }, view.words);
  const tabs = mountTabs({ onNews: hear, answering: () => shelf.answering(), readOn: (id) => shelf.readOn(id) });
  const makeRoom = mountRoom(archive, () => new Set(shelf.lives.keys()), onErased, view.notice);
  const shelf = mountShelf({ shown, api, view, access, status, surroundings: { archive, makeRoom, ...tabs, askWho, onWritten, onGone }, ask, onEnd, onChange: paint });
  const removal = mountRemoval({ archive, api, tell: tabs.tell, undo, onEntry: note, notice: view.notice });
  const transfers = mountTransfers({ archive, words: view.words, onWritten: (entry) => onWritten(entry, false) });
  let isPainting = false;

  function paint() {
    if (isPainting) return;
    isPainting = true;
    requestAnimationFrame(() => {
      isPainting = false;
      const answering = new Set([...shelf.answering(), ...tabs.answering()]);
      list.show({ entries: [...entries.values()], openId: shelf.open().id, answering });
      if (entries.size) performance.mark("listed");
    });
  }

  /** @param {Entry} entry as it is now */
  function note(entry) {
    if (entry.isErased) {
      entries.delete(entry.id);
      shelf.lives.get(entry.id)?.keeping.end();
      if (shelf.open().id !== entry.id) shelf.lives.delete(entry.id);
    } else {
      entries.set(entry.id, entry);
    }
    paint();
  }

  /**
   * @param {Entry} entry
   * @param {boolean} isAnswering
   */
  function onWritten(entry, isAnswering) {
    note(entry);
    tabs.tell({ kind: "written", entry, isAnswering });
  }

  /** @param {Entry} entry */
  function onErased(entry) {
    note(entry);
    tabs.tell({ kind: "erased", entry });
  }

  /** @param {string} id */
  function onGone(id) {
    if (shelf.drop(id)) view.notice("notice.removed");
  }

  function askWho() {
    tabs.tell({ kind: "who" });
    return pause(WHO_MS);
  }

  /** @param {import("./tabs.js").News} news of another window */
  function hear(news) {
    if (news.kind === "who" || news.kind === "left") return;
    if (news.kind === "answering") return followed(news.id);
    note(news.entry);
    const live = shelf.lives.get(news.entry.id);
    if (!live) return;
    if (news.kind === "written") live.keeping.catchUp().catch(() => undefined);
    if (news.kind === "removed" || news.kind === "erased") {
      if (live.store.get().activeId) live.talk.interrupt();
      onGone(live.id);
    }
  }

  /** Show the answer that streams to another window as one that streams. @param {string} id */
  function followed(id) {
    const live = shelf.lives.get(id);
    const { activeId = 1, elsewhereId = 1 } = live?.store.get() ?? {};
    if (live && !activeId && !elsewhereId) live.keeping.catchUp(true).catch(() => undefined);
    paint();
  }

  /** @param {string} id */
  async function open(id) {
    drawer.close();
    if (id === shelf.open().id) return;
    if (await shelf.turnTo(id)) reconcile();
    else note({ .../** @type {Entry} */ (entries.get(id)), isErased: true });
  }

  /** Ask the server about the conversation that is shown, where it may know more. */
  async function reconcile(isFirst = false) {
    const { server, store, id } = shelf.open();
    const last = moves.lastMessage(store.get());
    const isSettled = !last || (last.reason === "stop" && !isFirst);
    if (server.isDone() || (store.get().isBehind && isSettled)) return;
    const said = await server.reconcile();
    if (said === "forgotten" && isFirst && id === shelf.open().id) view.notice("notice.restored");
  }

  /**
   * Take over what another window has said meanwhile, before something is asked that builds on it.
   * @param {import("./shelf.js").Live} live
   */
  async function fresh(live) {
    const { keeping, store } = live;
    if (live === shelf.open()) view.hold(true);
    if (keeping.entry().revision > 0) await Promise.race([keeping.catchUp().catch(() => undefined), pause(FRESH_MS)]);
    const { isBehind, activeId, elsewhereId } = store.get();
    if (live === shelf.open() && isBehind && !activeId && !elsewhereId) await Promise.race([reconcile(), pause(FRESH_MS)]);
  }

  /**
   * Send a message now, or behind the answer that streams.
   * @param {string} text
   * @param {readonly string[]} images
   * @param {import("../parts/composer.js").Way} way
   * @returns {boolean} false where it has to stay in the field
   */
  function send(text, images, way) {
    const others = shelf.answering().filter((id) => id !== shelf.open().id);
    if (others.length < MAX_ANSWERING) return shelf.open().line.send(text, images, way);
    view.notice("notice.many", { count: others.length });
    return false;
  }

  /**
   * Ask in a conversation, once it is known what the message follows.
   * @param {import("./shelf.js").Live} live
   * @param {string} text
   * @param {readonly string[]} images
   */
  async function ask(live, text, images) {
    const isEdit = live.store.get().editingId !== 0;
    await fresh(live);
    const there = shelf.lives.get(live.id) ?? shelf.open(); // another window may have removed it meanwhile
    there.talk.send(text, images);
    view.hold(false);
    if (isEdit && there === shelf.open()) view.write(there.store.get());
  }

  /**
   * @param {import("../parts/bubble.js").Action} action
   * @param {number} id of the message
   */
  async function act(action, id) {
    if (action === "previous" || action === "next") return turn(id, action);
    if (CHANGES.includes(action)) await fresh(shelf.open());
    const { store, talk } = shelf.open();
    if (store.get().messages.some((each) => each.id === id)) talk.act(action, id);
    if ([...CHANGES, "delete"].includes(action)) view.focus(); // the button that was pressed is gone
    view.hold(false);
  }

  /**
   * Go another way at a message, and stay at its buttons.
   * @param {number} id
   * @param {"previous" | "next"} action
   */
  function turn(id, action) {
    const { store } = shelf.open();
    const place = store.get().messages.findIndex((each) => each.id === id);
    store.set(switched(store.get(), id, action === "next" ? 1 : -1));
    const there = store.get().messages[place]?.id ?? id;
    const ids = siblings(store.get(), there);
    view.announce("announce.branch", `${ids.indexOf(there) + 1}/${ids.length}`);
    view.focusButton(there, action);
  }

  function create() {
    drawer.close();
    const { messages, settings } = shelf.open().store.get();
    const { model, think } = settings; // the reader's choices; a system prompt belongs to its conversation
    if (messages.length) shelf.create(Object.freeze({ ...DEFAULTS, model, think }));
    view.focus();
  }

  /** @param {string} id */
  function remove(id) {
    const live = shelf.lives.get(id);
    const state = live?.store.get();
    const entry = live?.keeping.entry() ?? entries.get(id);
    if (!entry || (state && isBlank(state))) return;
    const isOpen = shelf.open().id === id;
    if (isOpen) shelf.create(shelf.open().store.get().settings);
    if (live && moves.canInterrupt(live.store.get())) live.talk.interrupt();
    const named = { ...entry, sessionId: state?.sessionId ?? entry.sessionId };
    removal.remove(named, Promise.resolve(live?.keeping.save()), (ids) => isOpen && ids.includes(id) && open(id));
  }

  /**
   * @param {string} id
   * @param {string} title
   */
  async function rename(id, title) {
    const live = shelf.lives.get(id) ?? (await shelf.load(id));
    if (!live) return;
    live.store.set({ ...live.store.get(), title: shortened(title) });
    await live.keeping.save();
    shelf.leave(live);
  }

  /**
   * @param {string} id
   * @param {import("../parts/conversations.js").Choice} choice
   */
  async function choose(id, choice) {
    if (choice === "remove") return remove(id);
    await saveAll();
    const entry = entries.get(id);
    if (entry && choice !== "rename") transfers.save([entry], choice);
  }

  /** @param {readonly string[]} words */
  async function* search(words) {
    for await (const batch of archive.bodies()) {
      /** @type {Map<string, string>} */
      const lines = new Map();
      for (const { id, body } of batch) {
        const line = found([entries.get(id)?.title ?? "", ...textsOf(body)], words);
        if (line !== null) lines.set(id, line);
      }
      yield lines;
    }
  }

  const saveAll = () => Promise.all([...shelf.lives.values()].map((each) => each.keeping.save()));

  const opening = mountOpening({ archive, shown, shelf, view, onWritten });
  tabs.watch(api, (id) => entries.get(id)?.sessionId ?? null, (id) => {
    shelf.lives.get(id)?.talk.adopt();
    paint();
  });
  mountFiles({ transfers, entries, saveAll, view, onImported: ([first, ...others]) => first && !others.length && open(first.id) });
  hook(document, "new").addEventListener("click", create);

  return {
    send,
    act,
    clear: () => remove(shelf.open().id),
    interrupt: () => shelf.open().talk.interrupt(),
    withdraw: (/** @type {number} */ id) => shelf.open().line.withdraw(id),
    listen: () => shelf.lives.forEach(({ talk }) => talk.listen()),
    /** The gateway answers: what was cut off on its way can go on. */
    comeBack: () => shelf.lives.forEach(({ talk }) => talk.comeBack()),
    silentMs: () => shelf.open().talk.silentMs(),
    /** Show what was shown when the page was left. The list is there before the server has been asked. */
    async restore() {
      for (const entry of await archive.entries()) if (!entry.isErased) entries.set(entry.id, entry);
      await opening.restore(entries);
      paint();
      if (!archive.isLasting) view.notice("storage.none");
      reconcile(true);
      let before = shown.get().link;
      shown.watch(({ link }) => {
        if (link === "connected" && before !== link) removal.sweep().catch(() => undefined);
        before = link;
      });
    },
  };
}
