// @ts-check
/** The talk itself: a question becomes a request, its stream the answer, and an interrupt ends it wherever it is. */

import { ApiError } from "../core/failing.js";
import { newId } from "../core/conversations.js";
import { orderFor } from "../core/history.js";
import { pause } from "../core/pause.js";
import { isCutOff, questionOf, recovered, reopened, withoutEditedRefusal, withoutRefused } from "../core/recovery.js";
import * as moves from "../core/state.js";
import { mountAttach } from "./attach.js";
import { mountUntold } from "./untold.js";

/**
 * @typedef {object} Page what the talk needs of the page around it
 * @property {import("../core/store.js").Store} store
 * @property {import("../core/api.js").Api} api
 * @property {import("./view.js").View} view
 * @property {import("./access.js").Access} access
 * @property {import("./status.js").Standing} status
 * @property {import("./keeping.js").Keeping} keeping
 * @property {(answer: import("../core/message.js").Message, isOwn: boolean) => void} onEnd an answer has ended; its own: it
 *   streamed to this window alone, or first
 *
 * @typedef {object} Current the answer that is being read
 * @property {number} id
 * @property {AbortController} abort
 * @property {Promise<void>} started settled once its session is known or it has failed
 * @property {() => void} settle
 * @property {string | null} sessionId
 * @property {string} runId
 */

const START_MS = 3000; // what a request gets to start before an interrupt, or the next message, cuts it off
const END_MS = 3000; // what an interrupted stream gets to end
/** Why a reading ends that another window, or this page when it comes back, goes on with. */
const LEFT = new ApiError("left", "");

/** @param {Page} page */
export function mountTalk({ store, api, view, access, status, keeping, onEnd }) {
  const pictureBytes = Number(document.body.dataset.pictureBytes ?? Infinity);
  const attach = mountAttach(store, api, status);
  const untold = mountUntold(store, api);
  /** @type {Current | null} */
  let current = null;

  /**
   * @param {string} text
   * @param {readonly string[]} [images]
   */
  async function send(text, images) {
    view.hideNotice();
    if (store.get().activeId !== 0 && store.get().runId === "" && !(await isStarted())) giveUp();
    store.set(moves.asked(withoutEditedRefusal(store.get()), text.toWellFormed?.() ?? text, Date.now(), images));
    await stream("message");
  }

  /**
   * Give up a request that does not begin. It may still reach the gateway, behind the next one, and would end that one's
   * answer: so the conversation goes on in another session.
   */
  function giveUp() {
    const { sessionId } = store.get();
    current?.abort.abort();
    store.set({ ...store.get(), sessionId: newId("sess"), isBehind: true });
    if (sessionId) api.forget(sessionId).catch(() => undefined); // it is forgotten by itself, too
  }

  /**
   * @param {import("../parts/bubble.js").Action} action
   * @param {number} id
   */
  function act(action, id) {
    const state = store.get();
    view.hideNotice();
    if (action === "token") {
      access.open();
    } else if (action === "reload") {
      location.reload();
    } else if (action === "delete") {
      store.set(withoutRefused(state, id));
      keeping.save();
    } else if (action === "edit") {
      store.set(moves.editing(state, questionOf(state, id)?.id ?? id));
      view.edit();
    } else if (action === "regenerate") {
      again(id);
    } else if (state.activeId !== 0) {
      return; // pressed twice before the page was painted
    } else if (action === "retry" && moves.mustBeginAnew(state)) {
      again(id);
    } else {
      store.set(moves.resumed(state, Date.now()));
      stream("continue");
    }
  }

  /** @param {number} id of the answer to make again; one that was pressed twice is no longer there */
  function again(id) {
    const before = store.get();
    store.set(moves.regenerated(before, Date.now(), id));
    if (store.get() !== before) stream("message");
  }

  /**
   * Ask for the active answer.
   * @param {"message" | "continue"} way
   * @returns {Promise<void>}
   */
  async function stream(way) {
    const think = status.canThink() ? store.get().settings.think : null;
    const order = orderFor(store.get(), way, think, pictureBytes);
    const key = newId("key");
    view.announce("announce.answering", "");
    await read(store.get().activeId, (signal) => api.chat(order, key, signal));
  }

  /**
   * Take an answer's stream to its end. It never throws: the answer shows its failure.
   * @param {number} id
   * @param {import("./attach.js").Ask | null} ask null: it was asked before, here or in another window
   * @returns {Promise<void>}
   */
  async function read(id, ask) {
    const isOwn = id === store.get().activeId;
    const mine = begun(id);
    const { signal } = mine.abort;
    try {
      for await (const { at, data } of attach.events(id, ask, signal)) {
        if (data.run_id) mine.settle();
        if ("over" in data) takeOver(data.over);
        else take(data, mine, at);
      }
    } catch (error) {
      const failure = error instanceof ApiError ? error : new ApiError("internal", String(error));
      const { activeId, isBehind } = store.get();
      if (signal.reason === LEFT) return;
      if (signal.aborted) cutOff(mine);
      else if (ask && isForgotten(failure) && id === activeId && !isBehind) return resend(failure);
      else if (isOwn) fail(id, failure);
      else store.set(moves.abandoned(store.get(), Date.now()));
    } finally {
      mine.settle();
      if (current === mine) current = null;
    }
    if (moves.streamingId(store.get()) === 0) ended(id, isOwn);
  }

  /** @param {number} id @returns {Current} */
  function begun(id) {
    /** @type {() => void} */
    let settle = () => undefined;
    const started = /** @type {Promise<void>} */ (new Promise((resolve) => (settle = resolve)));
    const { sessionId, runId } = store.get();
    if (runId) settle();
    current = { id, abort: new AbortController(), started, settle, sessionId, runId };
    return current;
  }

  /** Read on what streams, where nothing reads it here: it was asked in another window, or before the page was left. */
  function resume() {
    const id = moves.streamingId(store.get());
    if (id !== 0 && current?.id !== id) read(id, null);
  }

  /** Read on, and keep, what streamed to a window that is gone. */
  function adopt() {
    store.set(moves.adopted(store.get()));
    attach.wake();
    resume();
  }

  /** Leave what is being read: the page is left, or shows something else. It goes on without this reader for a while. */
  function leave() {
    current?.abort.abort(LEFT);
    current = null;
  }

  /** The gateway answers: what was cut off goes on, and what it has not heard is told. */
  function comeBack() {
    attach.wake();
    untold.tell();
    reopen();
  }

  function reopen() {
    if (!isCutOff(store.get())) return;
    store.set(reopened(store.get(), Date.now()));
    resume();
  }

  /**
   * @param {any} event
   * @param {Current} mine
   * @param {string} at
   */
  function take(event, mine, at) {
    const { id } = mine;
    const isActive = id === store.get().activeId;
    if (isActive && event.done_reason === "superseded") view.notice("notice.superseded");
    store.set(moves.received(store.get(), id, event, Date.now(), at));
    if (event.run_id) [mine.sessionId, mine.runId] = [event.session_id, event.run_id];
    if (event.dropped_turns) view.notice("notice.dropped");
    if (event.run_id && !event.done && store.get().isInterrupting && id === moves.streamingId(store.get())) tellInterrupt();
    if (event.thinking) status.sawThinking();
  }

  /** @param {import("../core/api.js").WireMessage[] | null} given what the gateway has, where nothing more comes */
  function takeOver(given) {
    const wasCut = store.get().cutAt !== 0;
    const id = moves.streamingId(store.get());
    store.set(recovered(store.get(), given, Date.now()));
    if (wasCut) view.notice(moves.messageOf(store.get(), id)?.reason === "stop" ? "notice.whole" : "notice.back");
  }

  /** @param {ApiError} failure */
  const isForgotten = (failure) => failure.code === "unknown_session" || failure.code === "nothing_to_continue";

  /**
   * The server no longer has what the request builds on: send it all.
   * @param {ApiError} failure
   */
  function resend(failure) {
    store.set({ ...store.get(), isBehind: true });
    view.notice(failure.code === "unknown_session" ? "notice.forgotten" : "notice.replaced");
    return stream("message");
  }

  /** Let an answer end here, because the gateway did not end it: it is told as soon as it answers. @param {Current} mine */
  function cutOff(mine) {
    const end = { done: true, done_reason: "interrupted" };
    store.set({ ...moves.received(store.get(), mine.id, end, Date.now()), isBehind: true });
    untold.add(mine.sessionId, mine.runId);
    status.look();
  }

  /**
   * @param {number} id
   * @param {ApiError} failure
   */
  function fail(id, failure) {
    const { code, message, words } = failure;
    store.set(moves.failed(store.get(), id, { code, message, words }, Date.now()));
    if (code === "unauthorized") access.want("send", () => sendAgain(id));
  }

  /** @param {number} id of the answer that had no token */
  function sendAgain(id) {
    const last = moves.lastMessage(store.get());
    if (last?.id !== id || last.failure?.code !== "unauthorized") return;
    if (isCutOff(store.get())) reopen();
    else act("retry", id);
  }

  /**
   * @param {number} id
   * @param {boolean} isOwn
   */
  function ended(id, isOwn) {
    if (isOwn) keeping.save();
    const answer = moves.messageOf(store.get(), id);
    if (!answer) return;
    view.announceEnd(answer);
    if (answer.failure) status.look();
    onEnd(answer, isOwn);
  }

  async function interrupt() {
    if (!moves.canInterrupt(store.get())) return;
    const mine = current;
    const isSilent = attach.silentMs() > 0;
    store.set(moves.interrupting(store.get()));
    if (store.get().runId) tellInterrupt();
    // not begun yet: the start event brings the run's id, and take() goes on from there
    if (isSilent || !(await isStarted())) mine?.abort.abort();
  }

  /** Tell whether the request that streams has begun, or failed, in a moment at most. */
  function isStarted() {
    return Promise.race([current?.started.then(() => true), pause(START_MS).then(() => false)]);
  }

  /** End the answer on the gateway, and leave it where that does not end it here. */
  async function tellInterrupt() {
    const mine = current;
    const { sessionId, runId } = store.get();
    try {
      await api.interrupt(sessionId ?? "", runId);
      attach.wake(); // where the stream is cut, its end waits
      await pause(END_MS);
    } catch {
      // it did not hear
    }
    mine?.abort.abort();
  }

  return { send, act, interrupt, resume, adopt, leave, comeBack, silentMs: attach.silentMs, listen: attach.listen };
}
