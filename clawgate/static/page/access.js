// @ts-check
/** The gateway's token: asked for once where the gateway wants one, and what was refused for its lack is done again. */

import { mountToken } from "../parts/token.js";

/** @typedef {ReturnType<typeof mountAccess>} Access */

/**
 * @param {import("../core/store.js").Store} store
 * @param {ReturnType<typeof import("../parts/storage.js").kept>} token
 * @param {() => void} onToken a token has been given
 */
export function mountAccess(store, token, onToken) {
  /** The request to make again once the token is there. @type {(() => void) | null} */
  let afterToken = null;
  let isTokenWrong = false;
  const ask = mountToken(token, () => {
    isTokenWrong = true; // until the gateway takes it
    const again = afterToken;
    afterToken = null;
    store.set({ ...store.get(), link: "connecting" });
    onToken();
    again?.();
  });

  return {
    /** @param {() => void} again */
    want(again) {
      afterToken ??= again;
      store.set({ ...store.get(), link: "locked" });
      ask(isTokenWrong);
    },
    /** Note that the gateway takes the token. */
    taken() {
      isTokenWrong = false;
    },
  };
}
