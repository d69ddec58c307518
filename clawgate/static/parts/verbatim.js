// @ts-check
/** A text as it was typed, without Markdown; a long one is folded. */

import { foldButton, make, toggleFold } from "./code.js";

const BLOCK_LINES = 100;
const FOLDED_ABOVE = { lines: 40, characters: 5000 };

/**
 * @param {HTMLElement} root empty
 * @param {() => import("./words.js").Dictionary} words
 */
export function mountVerbatim(root, words) {
  let shown = "";
  root.addEventListener("click", ({ target }) => {
    const button = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest("[data-fold]")) : null;
    if (button) toggleFold(button, words);
  });

  return {
    /** @param {string} text */
    set(text) {
      if (text === shown) return;
      shown = text;
      const lines = text.split("\n");
      const said = make("div", "said", { dir: "auto" });
      for (let begin = 0; begin < lines.length; begin += BLOCK_LINES) {
        const block = make("span", lines.length > BLOCK_LINES ? "lines" : "");
        const isLast = begin + BLOCK_LINES >= lines.length;
        block.textContent = lines.slice(begin, begin + BLOCK_LINES).join("\n") + (isLast ? "" : "\n");
        said.append(block);
      }
      const isLong = lines.length > FOLDED_ABOVE.lines || text.length > FOLDED_ABOVE.characters;
      root.classList.toggle("folded", isLong);
      root.replaceChildren(...(text === "" ? [] : isLong ? [said, foldButton("fold.text", words)] : [said]));
    },
  };
}
