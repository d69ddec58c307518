// @ts-check
/**
 * The gateway's token: asked for once where the gateway wants one, and what was refused for its lack is done again. The
 * reader can change it, forget it, and open a dialog again that was closed.
 */

import { hook } from "../parts/dom.js";
import { mountToken } from "../parts/token.js";

/** @typedef {ReturnType<typeof mountAccess>} Access */

/**
 * @param {import("../core/store.js").Store} store
 * @param {ReturnType<typeof import("../parts/storage.js").kept>} token
 * @param {() => void} onChange a token has been given, or forgotten
 */
export function mountAccess(store, token, onChange) {
  /** The requests to make again once the token is there, by name. @type {Map<string, () => void>} */
  const refused = new Map();
  let isTokenWrong = false;
  const entry = hook(document, "token-entry");
  const ask = mountToken(token, (isForgotten) => {
    isTokenWrong = !isForgotten; // until the gateway takes it
    const again = [...refused.values()];
    if (!isForgotten) refused.clear();
    store.set({ ...store.get(), link: isForgotten ? "locked" : "connecting" });
    onChange();
    if (!isForgotten) for (const each of again) each();
  });
  const open = () => ask(isTokenWrong && store.get().link === "locked");

  entry.addEventListener("click", open);
  store.watch(({ link }) => {
    hook(entry, "token-needed").hidden = link !== "locked";
    hook(entry, "token-given").hidden = link === "locked";
    entry.hidden = link !== "locked" && !token.get();
  });

  return {
    open,
    /**
     * Ask for the token, but no second time unasked: a dialog that was closed means no.
     * @param {string} name of the request
     * @param {() => void} [again] what makes it again, where a new token alone does not
     */
    want(name, again = () => undefined) {
      const isAsked = store.get().link === "locked";
      refused.set(name, again);
      store.set({ ...store.get(), link: "locked" });
      if (!isAsked || name === "send") open();
    },
    /** Note that the gateway takes the token. */
    taken() {
      isTokenWrong = false;
    },
  };
}
