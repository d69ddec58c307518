// @ts-check
/** The talk itself: a question becomes a request, its stream the answer, and an interrupt ends it wherever it is. */

import { ApiError } from "../core/api.js";
import { newId } from "../core/conversations.js";
import { orderFor } from "../core/history.js";
import { pause } from "../core/pause.js";
import { questionOf, withoutEditedRefusal, withoutRefused } from "../core/recovery.js";
import * as moves from "../core/state.js";

/**
 * @typedef {object} Page what the talk needs of the page around it
 * @property {import("../core/store.js").Store} store
 * @property {import("../core/api.js").Api} api
 * @property {import("./view.js").View} view
 * @property {import("./access.js").Access} access
 * @property {import("./status.js").Standing} status
 * @property {import("./keeping.js").Keeping} keeping
 * @property {(answer: import("../core/message.js").Message) => void} onEnd an answer has ended
 */

const START_MS = 3000; // what a request gets to start before an interrupt, or the next message, cuts it off
const END_MS = 3000; // what an interrupted stream gets to end
const SILENT_MS = 10000;
const LISTEN_MS = 5000;

/** @param {Page} page */
export function mountTalk({ store, api, view, access, status, keeping, onEnd }) {
  const pictureBytes = Number(document.body.dataset.pictureBytes ?? Infinity);
  const heartbeatMs = Number(document.body.dataset.heartbeat ?? "5") * 1000;
  let heardAt = 0;
  /**
   * The request that streams: `started` is settled once its session is known or it has failed.
   * @type {{abort: AbortController, started: Promise<void>} | null}
   */
  let current = null;
  let listenedAt = 0;

  /**
   * Tell how long the gateway has said nothing, where that is too long: its heartbeats are missed, or, where they are
   * far between, neither the stream nor the status has brought anything.
   */
  function silentMs() {
    if (heardAt === 0) return 0;
    const quiet = Date.now() - heardAt;
    const missed = heartbeatMs * 3 <= SILENT_MS ? heartbeatMs * 3 : Math.max(SILENT_MS, heartbeatMs * 2);
    if (quiet > Math.max(missed, START_MS)) return quiet;
    const silent = Math.min(quiet, status.silentMs());
    return silent > SILENT_MS ? silent : 0;
  }

  /** Where the stream is silent, ask whether its answer is still being made: a broken connection may never say so. */
  async function listen() {
    const { sessionId, runId, activeId } = store.get();
    const mine = current;
    if (!silentMs() || !sessionId || !runId || Date.now() < listenedAt + LISTEN_MS) return;
    listenedAt = Date.now();
    const isOver = await api.session(sessionId).then(
      (seen) => seen?.run_id !== runId,
      () => false,
    );
    if (isOver && store.get().activeId === activeId) mine?.abort.abort(new ApiError("network", "the stream broke off"));
  }

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
   * Ask for the active answer and take its stream to the end. It never throws: the answer shows its failure.
   * @param {"message" | "continue"} way
   * @returns {Promise<void>}
   */
  async function stream(way) {
    const id = store.get().activeId;
    const abort = new AbortController();
    /** @type {() => void} */
    let settle = () => undefined;
    current = { abort, started: new Promise((resolve) => (settle = resolve)) };
    heardAt = Date.now();
    view.announce("announce.answering", "");
    const think = status.canThink() ? store.get().settings.think : null;
    try {
      let isEnded = false;
      for await (const event of api.chat(orderFor(store.get(), way, think, pictureBytes), abort.signal)) {
        if (event.run_id) settle();
        take(event, id);
        isEnded ||= event.done === true;
      }
      if (!isEnded) throw new ApiError("network", "the stream broke off");
    } catch (error) {
      const failure = error instanceof ApiError ? error : new ApiError("internal", String(error));
      const { activeId, isBehind } = store.get();
      if (abort.signal.reason instanceof ApiError) fail(id, abort.signal.reason);
      else if (abort.signal.aborted) cutOff(id);
      else if (isForgotten(failure) && id === activeId && !isBehind) return resend(failure);
      else fail(id, failure);
    } finally {
      settle();
    }
    if (store.get().activeId === 0) ended(id);
  }

  /**
   * @param {any} event
   * @param {number} id the answer's
   */
  function take(event, id) {
    const isActive = id === store.get().activeId;
    if (isActive) heardAt = Date.now();
    if (isActive && event.done_reason === "superseded") view.notice("notice.superseded");
    store.set(moves.received(store.get(), id, event, Date.now()));
    if (event.dropped_turns) view.notice("notice.dropped");
    if (event.run_id && !event.done && store.get().isInterrupting && isActive) tellInterrupt();
    if (event.thinking) status.sawThinking();
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

  /** @param {number} id of an answer whose request was given up, because the gateway did not end it */
  function cutOff(id) {
    const end = { done: true, done_reason: "interrupted" };
    store.set({ ...moves.received(store.get(), id, end, Date.now()), isBehind: true });
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
    if (last?.id === id && last.failure?.code === "unauthorized") act("retry", id);
  }

  /** @param {number} id */
  function ended(id) {
    heardAt = 0;
    keeping.save();
    const answer = store.get().messages.find((each) => each.id === id);
    if (!answer) return;
    view.announceEnd(answer);
    if (answer.failure) status.look();
    onEnd(answer);
  }

  async function interrupt() {
    if (!moves.canInterrupt(store.get())) return;
    const mine = current;
    const isSilent = silentMs() > 0;
    store.set(moves.interrupting(store.get()));
    if (store.get().runId) tellInterrupt();
    // not begun yet: the start event brings the run's id, and take() goes on from there
    if (isSilent || !(await isStarted())) mine?.abort.abort();
  }

  /** Tell whether the request that streams has begun, or failed, in a moment at most. */
  function isStarted() {
    return Promise.race([current?.started.then(() => true), pause(START_MS).then(() => false)]);
  }

  /** End the answer on the gateway, and leave it where that does not end it here: a reader that leaves stops it, too. */
  async function tellInterrupt() {
    const mine = current;
    const { sessionId, runId } = store.get();
    try {
      await api.interrupt(sessionId ?? "", runId);
      await pause(END_MS);
    } catch {
      // it did not hear
    }
    mine?.abort.abort();
  }

  /** Leave the stream: a page that is gone, but kept by the browser for the way back, would read it on. */
  function leave() {
    current?.abort.abort();
  }

  return { send, act, interrupt, leave, silentMs, listen };
}
