// @ts-check
/** Holds a state. The page's parts read it here, change it by pure functions, and are told of each change. */

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

/**
 * Stand for one of several stores: the one whose state the page shows.
 * @param {Store} first
 */
export function createShown(first) {
  let shown = first;
  /** @type {((state: State) => void)[]} */
  const watchers = [];
  const tell = () => watchers.forEach((each) => each(shown.get()));

  /** @param {Store} next */
  function show(next) {
    shown = next;
    tell();
  }

  /** @param {Store} one */
  function follow(one) {
    one.watch(() => one === shown && tell());
  }

  return {
    first,
    get: () => shown.get(),
    /** @param {State} next */
    set: (next) => shown.set(next),
    /** @param {(state: State) => void} watcher called with each new state of the one that is shown */
    watch: (watcher) => void watchers.push(watcher),
    show,
    follow,
    /** @param {Store} one */
    isShown: (one) => one === shown,
  };
}
