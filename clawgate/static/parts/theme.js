// @ts-check
/** The switch of the appearance. */

import { hook } from "./dom.js";
import { keepChoice } from "./storage.js";

/** Let the appearance follow its switch. */
export function mountTheme() {
  const choice = /** @type {HTMLSelectElement} */ (hook(document, "theme-choice"));
  choice.addEventListener("change", () => {
    document.documentElement.dataset.theme = choice.value;
    colourBars(choice.value);
    keepChoice("theme", choice.value);
  });
}

/**
 * Let the browser's own bars have the page's colour.
 * @param {string} theme
 */
function colourBars(theme) {
  for (const bar of /** @type {NodeListOf<HTMLMetaElement>} */ (document.querySelectorAll("meta[data-scheme]"))) {
    const { scheme } = bar.dataset;
    bar.media = theme === "auto" ? `(prefers-color-scheme: ${scheme})` : theme === scheme ? "all" : "not all";
  }
}
