// @ts-check
/** Holds the one state of the page. Its parts read it here, change it by pure functions, and are told of each change. */

/**
 * @typedef {import("./state.js").State} State
 * @typedef {ReturnType<typeof createStore>} Store
 */

/** @param {State} first */
export function createStore(first) {
  let state = first;
  /** @type {((state: State) => void)[]} */
  const watchers = [];
  return {
    get: () => state,
    /** @param {State} next */
    set(next) {
      state = next;
      for (const each of watchers) each(state);
    },
    /** @param {(state: State) => void} watcher called with each new state */
    watch(watcher) {
      watchers.push(watcher);
    },
  };
}
