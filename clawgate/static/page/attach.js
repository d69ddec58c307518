// @ts-check
/**
 * Reads an answer to its end, over as many connections as that takes:
 *
 *     ask ──▶ events ──▶ the end
 *                │ cut: the network, a proxy, silence
 *                ▼
 *     wait ──▶ the events behind the last one ──▶ the end
 *                │ the gateway has nothing to read on
 *                ▼
 *             over: the session, as the gateway has it
 *
 * No event comes twice, and none is left out. A question is asked once: what repeats it has the same key.
 */

import { ApiError } from "../core/failing.js";
import { runOf, step } from "../core/place.js";
import { joined } from "../core/recovery.js";
import * as moves from "../core/state.js";

/**
 * @typedef {import("../core/api.js").StreamEvent} StreamEvent
 * @typedef {(signal: AbortSignal) => AsyncGenerator<StreamEvent>} Ask
 *
 * @typedef {object} Reading
 * @property {number} id the answer's
 * @property {number} heardAt when the gateway was last heard
 * @property {number} openedAt when the connection was made
 * @property {AbortController} connection
 */

const WAITS_MS = [0, 500, 1000, 2000, 4000, 5000];
const STEADY_MS = 1000; // a connection that has lasted so long is no failed try
const LATE_MS = 15_000; // so long after the gateway has given the reader up, its session is asked no more
const SILENT_MS = 10_000;
const QUIET_MS = 5000;

/** The failures that pass: of a connection that was made again, and of a question that may not have arrived. */
const PASSING = ["network", "proxy", "busy", "shutting_down", "session_store_unavailable"];
const LOST = ["network"];
/** What the gateway says where it has nothing to read on. */
const OVER = ["nothing_left", "unknown_session", "bad_request"];

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("../core/api.js").Api} api
 * @param {import("./status.js").Standing} status
 */
export function mountAttach(store, api, status) {
  const { heartbeat = "5", detach = "30" } = document.body.dataset;
  const heartbeatMs = Number(heartbeat) * 1000;
  const patientMs = Number(detach) * 1000 + LATE_MS;
  const missedMs = heartbeatMs * 3 <= SILENT_MS ? Math.max(heartbeatMs * 3, 3000) : Math.max(SILENT_MS, heartbeatMs * 2);
  /** @type {Reading | null} */
  let latest = null;
  let wake = () => {};

  /**
   * Yield the events of an answer, in order, up to its end or to `{over: messages}`.
   * @param {number} id
   * @param {Ask | null} ask null: it was asked before
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<StreamEvent>}
   * @throws {ApiError} the failure that did not pass
   */
  async function* events(id, ask, signal) {
    const now = Date.now();
    const reading = { id, heardAt: now, openedAt: now, connection: new AbortController() };
    latest = reading;
    const leave = () => (reading.connection.abort(), wake());
    signal.addEventListener("abort", leave);
    let lostAt = 0;
    try {
      for (let tries = 0; ; tries += 1) {
        const cutAt = Date.now();
        try {
          for await (const event of connection(reading, ask)) {
            const isOver = "over" in event.data;
            if (isOver && !isRead(id)) return; // another window has told how it ended
            reading.heardAt = Date.now();
            lostAt = 0;
            if (isRead(id) && !isOver) store.set(moves.heard(store.get()));
            yield event;
            if (event.data.done || isOver) return;
          }
          throw new ApiError("network", "the stream broke off");
        } catch (error) {
          if (!isRead(id) && !signal.aborted) return; // something else has been asked meanwhile
          if (signal.aborted || !passes(error, placeOf(id) || !ask ? PASSING : LOST)) throw error;
          if (reading.heardAt > cutAt + STEADY_MS) tries = 0;
          lostAt ||= Date.now();
          if (!reading.connection.signal.aborted) store.set(moves.cut(store.get(), lostAt)); // else it is silent
          if (Date.now() > lostAt + patientMs) throw error;
        }
        await rest(tries);
        if (signal.aborted) throw new ApiError("network", "it was left");
        if (!isRead(id)) return;
      }
    } finally {
      signal.removeEventListener("abort", leave);
      reading.connection.abort();
      if (latest === reading) latest = null;
    }
  }

  /**
   * Yield the events of one connection.
   * @param {Reading} reading
   * @param {Ask | null} ask
   * @returns {AsyncGenerator<StreamEvent>}
   */
  async function* connection(reading, ask) {
    const { id } = reading;
    const { signal } = (reading.connection = new AbortController());
    reading.openedAt = Date.now();
    const place = placeOf(id);
    if (place === "" && ask) return yield* ask(signal);
    if (place === "" && !(await join())) return yield* over(id);
    try {
      for await (const event of api.follow(store.get().sessionId ?? "", place, signal)) {
        const { status: said, run_id: run } = event.data;
        if (said === "reset" && place && run !== runOf(place)) return yield* over(id); // the session has gone on
        if (said !== "reset" && step(placeOf(id), event.at) === "beyond") throw new ApiError("network", "something is missing");
        yield event;
      }
    } catch (error) {
      if (!passes(error, OVER)) throw error;
      yield* over(id);
    }
  }

  /** Go back to where the session's run began. @returns {Promise<boolean>} false: it has none for this answer */
  async function join() {
    const seen = await api.session(store.get().sessionId ?? "");
    const state = joined(store.get(), seen);
    if (state) store.set(state);
    return state !== null;
  }

  /**
   * Yield what the gateway has of the session; where another window keeps the answer, that one tells.
   * @param {number} id
   * @returns {AsyncGenerator<StreamEvent>}
   */
  async function* over(id) {
    if (id === store.get().elsewhereId) throw new ApiError("network", "it is not told yet");
    const seen = await api.session(store.get().sessionId ?? "");
    yield { at: "", data: { over: seen?.messages ?? null } };
  }

  /** Wait before another try, unless something wakes it up. @param {number} tries */
  function rest(tries) {
    const longest = WAITS_MS[WAITS_MS.length - 1] ?? 0;
    const ms = (WAITS_MS[tries] ?? longest) * (0.75 + Math.random() / 2);
    return new Promise((resolve) => {
      const timer = window.setTimeout(resolve, ms);
      wake = () => (window.clearTimeout(timer), resolve(undefined));
    });
  }

  /** @param {number} id */
  const placeOf = (id) => moves.messageOf(store.get(), id)?.place ?? "";
  /** @param {number} id */
  const isRead = (id) => id === moves.streamingId(store.get());
  /** @param {unknown} error @param {readonly string[]} codes */
  const passes = (error, codes) => error instanceof ApiError && codes.includes(error.code);

  /**
   * Tell how long the gateway has said nothing, where that is too long: its heartbeats are missed, or, where they are
   * far between, neither the stream nor the status has brought anything.
   */
  function silentMs() {
    if (!latest) return 0;
    const quiet = Date.now() - latest.heardAt;
    if (quiet > missedMs) return quiet;
    const silent = Math.min(quiet, status.silentMs());
    return silent > SILENT_MS ? silent : 0;
  }

  /** Give up a connection that has been silent for so long, and make another one. @param {number} ms */
  function renew(ms) {
    if (latest && Date.now() - Math.max(latest.heardAt, latest.openedAt) > ms) latest.connection.abort();
  }

  function look() {
    wake();
    renew(Math.min(heartbeatMs, QUIET_MS) + STEADY_MS);
  }

  window.addEventListener("online", look);
  document.addEventListener("resume", look);
  document.addEventListener("visibilitychange", () => document.hidden || look());

  return {
    events,
    silentMs,
    /** Try again now, where a try is waited for. */
    wake: () => wake(),
    /** Look whether the gateway is still heard: a broken connection may never say so. */
    listen: () => silentMs() > 0 && renew(Math.min(missedMs, SILENT_MS)),
  };
}
