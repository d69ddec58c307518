// @ts-check
/** What the page says besides the messages: a line that can be closed, and words for screen readers. */

import { hook } from "./dom.js";
import { endingOf } from "./ending.js";
import { failureWords } from "./failure.js";
import { filled } from "./words.js";

const MAX_SPOKEN = 1000;

/** @param {Pick<import("./bubble.js").Surroundings, "words" | "model">} page */
export function mountNotice(page) {
  const line = hook(document, "notice");
  hook(document, "notice-close").addEventListener("click", () => (line.hidden = true));

  /**
   * Tell screen readers, once an answer and not at each token.
   * @param {string} key
   * @param {string} text
   */
  function announce(key, text) {
    const said = text.length > MAX_SPOKEN ? `${text.slice(0, MAX_SPOKEN)}…` : text;
    hook(document, "alert").textContent = "";
    hook(document, "announcer").textContent = filled(page.words()[key] ?? "", { text: said });
  }

  return {
    announce,
    /**
     * @param {string} key of the words
     * @param {Record<string, string | number>} [values]
     */
    notice(key, values = {}) {
      hook(document, "notice-text").textContent = filled(page.words()[key] ?? "", values);
      line.hidden = false;
    },
    hideNotice() {
      line.hidden = true;
    },
    /**
     * Tell screen readers how an answer ended: a failure at once, as an alert.
     * @param {import("../core/message.js").Message} message
     */
    announceEnd(message) {
      if (!message.failure) return announce(`announce.${endingOf(message)}`, message.content);
      const { title, hint, quoted } = failureWords(message, true, page);
      hook(document, "announcer").textContent = "";
      hook(document, "alert").textContent = [title, hint, quoted].filter(Boolean).join(" ");
    },
  };
}
