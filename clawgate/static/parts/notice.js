// @ts-check
/** What the page says besides the messages: a line that can be closed, and words for screen readers. */

import { hook } from "./dom.js";
import { filled } from "./words.js";

const MAX_SPOKEN = 1000;

/** @param {() => import("./words.js").Dictionary} words */
export function mountNotice(words) {
  const line = hook(document, "notice");
  hook(document, "notice-close").addEventListener("click", () => (line.hidden = true));

  return {
    /** @param {string} key of the words */
    notice(key) {
      hook(document, "notice-text").textContent = words()[key] ?? "";
      line.hidden = false;
    },
    hideNotice() {
      line.hidden = true;
    },
    /**
     * Tell screen readers, once an answer and not at each token.
     * @param {string} key
     * @param {string} text
     */
    announce(key, text) {
      const said = text.length > MAX_SPOKEN ? `${text.slice(0, MAX_SPOKEN)}…` : text;
      hook(document, "announcer").textContent = filled(words()[key] ?? "", { text: said });
    },
  };
}
