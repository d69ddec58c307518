// @ts-check
/** The chat page: what the reader does becomes requests, what comes back becomes the state, the state is shown. */

import { ApiError, createApi } from "../core/api.js";
import { orderFor, packed, reconciled, unpacked } from "../core/history.js";
import * as moves from "../core/state.js";
import { home } from "../parts/place.js";
import { kept } from "../parts/storage.js";
import { mountToken } from "../parts/token.js";
import { mountLink } from "./link.js";
import { mountView } from "./view.js";

/** @typedef {import("../core/state.js").State} State */

const SAVE_MS = 1000;
const START_MS = 3000; // what a request gets to start before an interrupt cuts it off
const SETTLE_TRIES = 10;
const SETTLE_MS = 200;

const { heartbeat = "5" } = document.body.dataset;
const token = kept("token");
const own = kept("chat");
const api = createApi(home.href, token.get);
let thinks = document.body.dataset.thinks ?? "unknown";
let state = moves.initial();
let heardAt = 0;
/**
 * The request that streams: `started` is settled once its session is known or it has failed.
 * @type {{abort: AbortController, started: Promise<void>} | null}
 */
let current = null;
/** The request to make again once the token is there. @type {(() => void) | null} */
let afterToken = null;
let isTokenWrong = false;

const view = await mountView({ send, interrupt, clear, cancelEdit, act }, api.render, silentMs);
const look = mountLink(api.status, linked);
const askToken = mountToken(token, () => {
  isTokenWrong = true; // until the gateway takes it
  const again = afterToken;
  afterToken = null;
  set({ ...state, link: "connecting" });
  look();
  again?.();
});

/** @param {State} next */
function set(next) {
  state = next;
  view.show(state);
  saveSoon();
}

let saveTimer = 0;
function saveSoon() {
  if (saveTimer === 0) saveTimer = window.setTimeout(save, SAVE_MS);
}

function save() {
  window.clearTimeout(saveTimer);
  saveTimer = 0;
  own.set(state.messages.length ? packed(state) : null);
}

function silentMs() {
  const ms = Date.now() - heardAt;
  return heardAt && ms > Number(heartbeat) * 3000 ? ms : 0;
}

/** @param {string} text */
async function send(text) {
  view.hideNotice();
  if (state.activeId !== 0 && state.sessionId === null) await current?.started;
  set(moves.asked(state, text.toWellFormed?.() ?? text, Date.now()));
  await stream("message");
}

/**
 * @param {import("../parts/bubble.js").Action} action
 * @param {number} id
 */
function act(action, id) {
  view.hideNotice();
  if (action === "edit") {
    set(moves.editing(state, id));
    view.edit();
  } else if (state.activeId !== 0) {
    return; // pressed twice before the page was painted
  } else if (action === "regenerate" || (action === "retry" && moves.mustBeginAnew(state))) {
    set(moves.regenerated(state, Date.now()));
    stream("message");
  } else {
    set(moves.resumed(state, Date.now()));
    stream("continue");
  }
}

function cancelEdit() {
  set(moves.editing(state, 0));
}

/**
 * Ask for the active answer and take its stream to the end. It never throws: the answer shows its failure.
 * @param {"message" | "continue"} way
 * @returns {Promise<void>}
 */
async function stream(way) {
  const id = state.activeId;
  const abort = new AbortController();
  /** @type {() => void} */
  let settle = () => undefined;
  current = { abort, started: new Promise((resolve) => (settle = resolve)) };
  heardAt = 0;
  view.announce("announce.answering", "");
  const think = thinks === "yes" ? view.isThinkingWanted() : null;
  try {
    let isEnded = false;
    for await (const event of api.chat(orderFor(state, way, think), abort.signal)) {
      if (id === state.activeId) heardAt = Date.now();
      set(moves.received(state, id, event, Date.now()));
      if (event.run_id) settle();
      if (event.dropped_turns) view.notice("notice.dropped");
      if (event.run_id && !event.done && state.isInterrupting && id === state.activeId) tellInterrupt();
      if (event.thinking && thinks !== "yes") showThinks("yes");
      isEnded ||= event.done === true;
    }
    if (!isEnded) throw new ApiError("network", "the stream broke off");
  } catch (error) {
    const failure = error instanceof ApiError ? error : new ApiError("internal", String(error));
    if (abort.signal.aborted) cutOff(id);
    else if (isForgotten(failure) && id === state.activeId && !state.isBehind) return resend(failure);
    else fail(id, failure);
  } finally {
    settle();
  }
  if (state.activeId === 0) ended(id);
}

/** @param {ApiError} failure */
const isForgotten = (failure) => failure.code === "unknown_session" || failure.code === "nothing_to_continue";

/**
 * The server no longer has what the request builds on: send it all.
 * @param {ApiError} failure
 */
function resend(failure) {
  set({ ...state, isBehind: true });
  view.notice(failure.code === "unknown_session" ? "notice.forgotten" : "notice.replaced");
  return stream("message");
}

/** @param {number} id of an answer whose request was given up before it had begun */
function cutOff(id) {
  set({ ...moves.received(state, id, { done: true, done_reason: "interrupted" }, Date.now()), isBehind: true });
}

/**
 * @param {number} id
 * @param {ApiError} failure
 */
function fail(id, failure) {
  set(moves.failed(state, id, { code: failure.code, message: failure.message }, Date.now()));
  if (failure.code === "unauthorized") {
    wantToken(() => act("retry", id));
  } else if (failure.code === "network" || failure.code === "sign_in") {
    look();
  }
}

/** @param {number} id */
function ended(id) {
  heardAt = 0;
  save();
  const answer = state.messages.find((each) => each.id === id);
  if (!answer) return;
  const isWhole = answer.reason === "stop";
  view.announce(isWhole ? "announce.done" : "announce.interrupted", answer.content);
  if (answer.failure) look();
}

async function interrupt() {
  if (!moves.canInterrupt(state)) return;
  const mine = current;
  set(moves.interrupting(state));
  if (state.runId) {
    tellInterrupt();
    return;
  }
  // not begun yet: the start event brings the run's id, and stream() goes on from there
  const isStarted = await Promise.race([mine?.started.then(() => true), pause(START_MS).then(() => false)]);
  if (!isStarted) mine?.abort.abort();
}

async function tellInterrupt() {
  const mine = current;
  try {
    await api.interrupt(state.sessionId ?? "", state.runId);
  } catch {
    mine?.abort.abort(); // a reader that leaves stops the model, too
  }
}

async function clear() {
  const { sessionId } = state;
  current?.abort.abort();
  set(moves.cleared(state));
  heardAt = 0;
  save();
  if (!sessionId) return;
  try {
    await api.forget(sessionId);
    view.notice("clear.done");
  } catch (error) {
    view.notice(error instanceof ApiError && error.status === 404 ? "clear.done" : "clear.offline");
  }
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Bring the conversation back after a reload: from the server, or from this browser's own copy. */
async function restore() {
  set(moves.editing(unpacked(state, own.get()), 0));
  if (!state.sessionId) return;
  const { sessionId } = state;
  try {
    let seen = await api.session(sessionId);
    for (let tries = 0; seen.streaming && tries < SETTLE_TRIES; tries++) {
      await pause(SETTLE_MS); // the gateway settles the cut answer in a moment
      seen = await api.session(sessionId);
    }
    if (state.sessionId === sessionId && state.activeId === 0) set(reconciled(state, seen.streaming ? null : seen.messages));
  } catch (error) {
    const failure = error instanceof ApiError ? error : null;
    if (failure?.code === "unauthorized") wantToken(restore);
    if (failure?.status === 404 && state.activeId === 0) {
      set(reconciled(state, null));
      view.notice("notice.restored");
    }
  }
}

/** @param {() => void} again */
function wantToken(again) {
  afterToken ??= again;
  set({ ...state, link: "locked" });
  askToken(isTokenWrong);
}

/**
 * Take what the gateway says of itself and of Ollama, or why it says nothing.
 * @param {import("./link.js").Status | null} status
 * @param {unknown} error
 */
function linked(status, error) {
  const isLocked = error instanceof ApiError && error.code === "unauthorized";
  if (isLocked) {
    if (state.link !== "locked") wantToken(look); // asked once: closing the dialog means no
    return false;
  }
  if (error instanceof ApiError && error.code === "sign_in") {
    set({ ...state, link: "signed_out" });
    return false;
  }
  if (status) isTokenWrong = false;
  set(moves.linked(state, status));
  if (thinks === "unknown" && status?.upstream.reachable) askThinks();
  return state.link === "connected";
}

/** Ask the page again whether the model can think: Ollama was away when it was made. */
async function askThinks() {
  try {
    const text = await api.text("");
    showThinks(new DOMParser().parseFromString(text, "text/html").body.dataset.thinks ?? "unknown");
  } catch {
    // the next look asks again
  }
}

/** @param {string} said */
function showThinks(said) {
  thinks = said;
  view.showThinkSwitch(thinks === "yes");
}

showThinks(thinks);
await restore();
look();
setInterval(() => state.activeId && view.tick(), 1000);
window.addEventListener("pagehide", save);
document.documentElement.dataset.ready = "yes";
