// @ts-check
/** The talk itself: a question becomes a request, its stream the answer, and an interrupt ends it wherever it is. */

import { ApiError } from "../core/api.js";
import { orderFor } from "../core/history.js";
import * as moves from "../core/state.js";

/**
 * @typedef {object} Page what the talk needs of the page around it
 * @property {import("../core/store.js").Store} store
 * @property {import("../core/api.js").Api} api
 * @property {import("./view.js").View} view
 * @property {import("./access.js").Access} access
 * @property {import("./status.js").Standing} status
 * @property {import("./keeping.js").Keeping} keeping
 */

const START_MS = 3000; // what a request gets to start before an interrupt cuts it off

/** @param {Page} page */
export function mountTalk({ store, api, view, access, status, keeping }) {
  const heartbeatMs = Number(document.body.dataset.heartbeat ?? "5") * 1000;
  let heardAt = 0;
  /**
   * The request that streams: `started` is settled once its session is known or it has failed.
   * @type {{abort: AbortController, started: Promise<void>} | null}
   */
  let current = null;

  function silentMs() {
    const ms = Date.now() - heardAt;
    return heardAt && ms > heartbeatMs * 3 ? ms : 0;
  }

  /** @param {string} text */
  async function send(text) {
    view.hideNotice();
    if (store.get().activeId !== 0 && store.get().sessionId === null) await current?.started;
    store.set(moves.asked(store.get(), text.toWellFormed?.() ?? text, Date.now()));
    await stream("message");
  }

  /**
   * @param {import("../parts/bubble.js").Action} action
   * @param {number} id
   */
  function act(action, id) {
    const state = store.get();
    view.hideNotice();
    if (action === "edit") {
      store.set(moves.editing(state, id));
      view.edit();
    } else if (state.activeId !== 0) {
      return; // pressed twice before the page was painted
    } else if (action === "regenerate" || (action === "retry" && moves.mustBeginAnew(state))) {
      store.set(moves.regenerated(state, Date.now()));
      stream("message");
    } else {
      store.set(moves.resumed(state, Date.now()));
      stream("continue");
    }
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
    heardAt = 0;
    view.announce("announce.answering", "");
    const think = status.canThink() ? view.isThinkingWanted() : null;
    try {
      let isEnded = false;
      for await (const event of api.chat(orderFor(store.get(), way, think), abort.signal)) {
        if (event.run_id) settle();
        take(event, id);
        isEnded ||= event.done === true;
      }
      if (!isEnded) throw new ApiError("network", "the stream broke off");
    } catch (error) {
      const failure = error instanceof ApiError ? error : new ApiError("internal", String(error));
      const { activeId, isBehind } = store.get();
      if (abort.signal.aborted) cutOff(id);
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

  /** @param {number} id of an answer whose request was given up before it had begun */
  function cutOff(id) {
    const end = { done: true, done_reason: "interrupted" };
    store.set({ ...moves.received(store.get(), id, end, Date.now()), isBehind: true });
  }

  /**
   * @param {number} id
   * @param {ApiError} failure
   */
  function fail(id, failure) {
    store.set(moves.failed(store.get(), id, { code: failure.code, message: failure.message }, Date.now()));
    if (failure.code === "unauthorized") access.want(() => act("retry", id));
    else if (failure.code === "network" || failure.code === "sign_in") status.look();
  }

  /** @param {number} id */
  function ended(id) {
    heardAt = 0;
    keeping.save();
    const answer = store.get().messages.find((each) => each.id === id);
    if (!answer) return;
    const isWhole = answer.reason === "stop";
    view.announce(isWhole ? "announce.done" : "announce.interrupted", answer.content);
    if (answer.failure) status.look();
  }

  async function interrupt() {
    if (!moves.canInterrupt(store.get())) return;
    const mine = current;
    store.set(moves.interrupting(store.get()));
    if (store.get().runId) {
      tellInterrupt();
      return;
    }
    // not begun yet: the start event brings the run's id, and take() goes on from there
    const isStarted = await Promise.race([mine?.started.then(() => true), pause(START_MS).then(() => false)]);
    if (!isStarted) mine?.abort.abort();
  }

  async function tellInterrupt() {
    const mine = current;
    const { sessionId, runId } = store.get();
    try {
      await api.interrupt(sessionId ?? "", runId);
    } catch {
      mine?.abort.abort(); // a reader that leaves stops the model, too
    }
  }

  async function clear() {
    const { sessionId } = store.get();
    current?.abort.abort();
    store.set(moves.cleared(store.get()));
    heardAt = 0;
    keeping.save();
    if (!sessionId) return;
    try {
      await api.forget(sessionId);
      view.notice("clear.done");
    } catch (error) {
      view.notice(error instanceof ApiError && error.status === 404 ? "clear.done" : "clear.offline");
    }
  }

  return { send, act, interrupt, clear, silentMs };
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
