// @ts-check
/** Keeps the conversation in this browser, and brings it back after a reload: from the server, or from its own copy. */

import { ApiError } from "../core/api.js";
import { packed, reconciled, unpacked } from "../core/history.js";
import { editing } from "../core/state.js";
import { kept } from "../parts/storage.js";

/** @typedef {ReturnType<typeof mountKeeping>} Keeping */

const SAVE_MS = 1000;
const SETTLE_TRIES = 10;
const SETTLE_MS = 200;

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("../core/api.js").Api} api
 * @param {import("./view.js").View} view
 * @param {import("./access.js").Access} access
 */
export function mountKeeping(store, api, view, access) {
  const own = kept("chat");
  let timer = 0;

  function save() {
    window.clearTimeout(timer);
    timer = 0;
    own.set(store.get().messages.length ? packed(store.get()) : null);
  }

  async function restore() {
    store.set(editing(unpacked(store.get(), own.get()), 0));
    const { sessionId } = store.get();
    if (!sessionId) return;
    try {
      let seen = await api.session(sessionId);
      for (let tries = 0; seen.streaming && tries < SETTLE_TRIES; tries++) {
        await pause(SETTLE_MS); // the gateway settles the cut answer in a moment
        seen = await api.session(sessionId);
      }
      if (isStill(sessionId)) store.set(reconciled(store.get(), seen.streaming ? null : seen.messages));
    } catch (error) {
      const failure = error instanceof ApiError ? error : null;
      if (failure?.code === "unauthorized") access.want("restore", restore);
      if (failure?.status === 404 && store.get().activeId === 0) {
        store.set(reconciled(store.get(), null));
        view.notice("notice.restored");
      }
    }
  }

  /** @param {string} sessionId */
  const isStill = (sessionId) => store.get().sessionId === sessionId && store.get().activeId === 0;

  store.watch(() => {
    if (timer === 0) timer = window.setTimeout(save, SAVE_MS);
  });
  window.addEventListener("pagehide", save);
  return { save, restore };
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
