// @ts-check
/** The tab tells, while nobody looks at it, that an answer is ready or has failed: by its title and its icon. */

import { files } from "../parts/place.js";

/**
 * @param {import("../core/store.js").Store} store
 * @param {() => import("../parts/words.js").Dictionary} words
 */
export function mountTitle(store, words) {
  const icon = /** @type {HTMLLinkElement} */ (document.querySelector('link[rel="icon"]'));
  const own = icon.href;
  let mark = "";

  /** @param {string} next what stands before the title */
  function show(next) {
    const title = mark && document.title.startsWith(mark) ? document.title.slice(mark.length) : document.title;
    mark = next;
    document.title = mark + title;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    show("");
    icon.href = own;
  });

  return {
    /** Note that an answer has ended. @param {import("../core/message.js").Message} answer */
    ended(answer) {
      if (!document.hidden || answer.id === store.get().activeId) return;
      const isWell = answer.failure === null;
      show(`${isWell ? "✓" : "⚠"} ${words()[isWell ? "title.ready" : "title.failed"] ?? ""} · `);
      icon.href = `${files}icons/${isWell ? "ready" : "failed"}.svg`;
    },
  };
}
