// @ts-check
/** The messages that wait behind the answer, above the field: each can be sent at once, edited, or withdrawn. */

import { hook, write } from "./dom.js";
import { fill, filled } from "./words.js";

/**
 * @typedef {import("../core/queue.js").Queued} Queued
 * @typedef {"send" | "edit" | "withdraw"} Deed
 */

/**
 * @param {(deed: Deed, item: Queued) => void} onDeed
 * @param {() => import("./words.js").Dictionary} words
 * @param {() => void} onResize
 */
export function mountQueue(onDeed, words, onResize) {
  const list = hook(document, "queue");
  const template = /** @type {HTMLTemplateElement} */ (document.querySelector('[data-template="queued"]'));
  /** @type {readonly Queued[]} */
  let shown = [];

  /** @param {Queued} item */
  function row(item) {
    const root = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
    const pictures = item.images.length ? filled(words()["queue.pictures"] ?? "", { count: item.images.length }) : "";
    fill(root, words(), {});
    write(hook(root, "queued-text"), [item.content, pictures].filter(Boolean).join(" "));
    root.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button?.dataset.queuedDo) onDeed(/** @type {Deed} */ (button.dataset.queuedDo), item);
    });
    return root;
  }

  return {
    /**
     * @param {readonly Queued[]} queue
     * @param {boolean} isStale the words have changed
     */
    paint(queue, isStale) {
      if (queue === shown && !isStale) return;
      shown = queue;
      list.replaceChildren(...queue.map(row));
      list.hidden = queue.length === 0;
      onResize();
    },
  };
}
