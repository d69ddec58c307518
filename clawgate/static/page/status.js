// @ts-check
/** What the gateway says of itself, of Ollama and of its model, in the page; a reload of its configuration, too. */

import { ApiError } from "../core/failing.js";
import { modelOf } from "../core/settings.js";
import { linked } from "../core/state.js";
import { mountLink } from "./link.js";

const SOON = 2; // so often it is asked soon again what the model can: the gateway asks Ollama for that meanwhile

/**
 * @typedef {ReturnType<typeof mountStatus>} Standing
 * @typedef {import("../core/api.js").Status} Status
 */

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("../core/api.js").Api} api
 * @param {import("./view.js").View} view
 * @param {import("./access.js").Access} access
 * @param {() => void} onAnswer the gateway answers
 */
export function mountStatus(store, api, view, access, onAnswer) {
  let { model = "" } = document.body.dataset;
  let thinks = { yes: true, no: false }[document.body.dataset.thinks ?? ""] ?? null;
  let unknownTimes = 0;
  let heardAt = Date.now();
  const look = mountLink(api.status, take);

  /**
   * Take what the gateway says of itself and of Ollama, or why it says nothing.
   * @param {Status | null} status
   * @param {unknown} error
   */
  function take(status, error) {
    const code = error instanceof ApiError ? error.code : "";
    if (status || code === "unauthorized") heardAt = Date.now();
    if (code === "unauthorized") {
      access.want("status");
      return false;
    }
    if (status) access.taken();
    const now = linked(store.get(), status);
    store.set(code === "sign_in" ? { ...now, link: "signed_out" } : now);
    if (status) follow(status);
    view.showBanner(store.get().link, status?.upstream.embedded ?? null);
    if (status) onAnswer();
    const isKnown = thinks !== null || unknownTimes++ >= SOON;
    return store.get().link === "connected" && isKnown;
  }

  /**
   * Follow the model in force: another one, or one whose abilities have become known.
   * @param {Status} status
   */
  function follow(status) {
    const said = status.models?.find((each) => each.name === status.model)?.thinking ?? null;
    if (status.model !== model) {
      model = status.model;
      thinks = null;
      unknownTimes = 0;
    }
    showThinks(said ?? thinks);
  }

  /** @param {boolean | null} said */
  function showThinks(said) {
    thinks = said;
    view.showThinkSwitch(thinks === true);
  }

  showThinks(thinks);
  return {
    look,
    /** Tell whether the model can think: null where that is left to it. */
    canThink: () => ((modelOf(store.get())?.thinking ?? thinks) ? true : null),
    /** Note that the model has been seen to think. */
    sawThinking() {
      if (!thinks) showThinks(true);
    },
    /** Tell for how long the gateway has not answered here. */
    silentMs: () => Date.now() - heardAt,
    /**
     * Note a request of any kind that was turned away before it reached the gateway.
     * @param {ApiError} error
     */
    failed(error) {
      if (error.code !== "sign_in" || store.get().link === "signed_out") return;
      store.set({ ...store.get(), link: "signed_out" });
      view.showBanner("signed_out", null);
    },
  };
}
