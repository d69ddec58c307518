// @ts-check
/** What the gateway says of itself, of Ollama and of its model, in the page. */

import { ApiError } from "../core/api.js";
import { linked } from "../core/state.js";
import { mountLink } from "./link.js";

/** @typedef {ReturnType<typeof mountStatus>} Standing */

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("../core/api.js").Api} api
 * @param {import("./view.js").View} view
 * @param {import("./access.js").Access} access
 */
export function mountStatus(store, api, view, access) {
  let thinks = document.body.dataset.thinks ?? "unknown";
  const look = mountLink(api.status, take);

  /**
   * Take what the gateway says of itself and of Ollama, or why it says nothing.
   * @param {import("./link.js").Status | null} status
   * @param {unknown} error
   */
  function take(status, error) {
    const isLocked = error instanceof ApiError && error.code === "unauthorized";
    if (isLocked) {
      if (store.get().link !== "locked") access.want(look); // asked once: closing the dialog means no
      return false;
    }
    if (error instanceof ApiError && error.code === "sign_in") {
      store.set({ ...store.get(), link: "signed_out" });
      return false;
    }
    if (status) access.taken();
    store.set(linked(store.get(), status));
    if (thinks === "unknown" && status?.upstream.reachable) askThinks();
    return store.get().link === "connected";
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
  return {
    look,
    /** Tell whether the model can think: null where that is left to it. */
    canThink: () => (thinks === "yes" ? true : null),
    /** Note that the model has been seen to think. */
    sawThinking() {
      if (thinks !== "yes") showThinks("yes");
    },
  };
}
