// @ts-check
/** The line that offers to bring back what has just been removed. */

import { hook } from "./dom.js";
import { filled } from "./words.js";

/** @typedef {ReturnType<typeof mountUndo>} Undo */

/**
 * @param {() => import("./words.js").Dictionary} words
 * @param {() => void} refocus moves the focus on, as the line is gone
 */
export function mountUndo(words, refocus) {
  const line = hook(document, "undo");
  const button = hook(line, "undo-button");
  let take = () => {};
  button.addEventListener("click", () => {
    hide();
    refocus();
    take();
  });

  function hide() {
    line.hidden = true;
  }

  return {
    /**
     * @param {number} count how many conversations
     * @param {() => void} onUndo
     */
    show(count, onUndo) {
      take = onUndo;
      hook(line, "undo-text").textContent = filled(words()[count === 1 ? "removed" : "removed.many"] ?? "", { count });
      line.hidden = false;
    },
    hide,
  };
}
