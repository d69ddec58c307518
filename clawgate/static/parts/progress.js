// @ts-check
/** What an answer waits for. */

import { isStreaming } from "../core/state.js";
import { hide, hook, write } from "./dom.js";
import { filled, seconds } from "./words.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/message.js").Message} Message
 * @typedef {import("./bubble.js").Surroundings} Surroundings
 */

const SHOWN_AFTER_MS = 1500; // no words for waits that nobody notices
const CUT_AFTER_MS = 500;

/** @param {Message} message @returns {string} */
const wait = (message) => (message.isUnloading ? "unloading" : message.isEvaluating ? "evaluating" : "waiting");

/**
 * Show what the answer waits for, and for how long.
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {number} now
 * @param {Surroundings} page
 */
export function showProgress(root, message, state, now, page) {
  const waited = now - message.askedAt;
  const silent = page.silentMs();
  const isActive = isStreaming(state, message);
  let key = "";
  if (isActive && state.isInterrupting) key = "interrupting";
  else if (isActive && state.cutAt && now - state.cutAt > CUT_AFTER_MS) key = "reconnecting";
  else if (isActive && silent) key = "silent";
  else if (message.phase !== "done" && message.attempt) key = wait(message);
  else if (message.phase === "waiting") key = state.runId && waited > SHOWN_AFTER_MS ? "loading" : "connecting";
  hide(root, "[data-progress]", key === "");
  hook(root, "progress").dataset.progress = key;
  const since = { silent, reconnecting: now - state.cutAt }[key] ?? waited;
  const values = { seconds: seconds(since), attempt: message.attempt };
  write(hook(root, "progress-text"), key && filled(page.words()[key] ?? "", values));
}
