// @ts-check
/** The switch of the appearance. */

import { hook } from "./dom.js";
import { keepChoice } from "./storage.js";

/** Let the appearance follow its switch. */
export function mountTheme() {
  const choice = /** @type {HTMLSelectElement} */ (hook(document, "theme-choice"));
  choice.addEventListener("change", () => {
    document.documentElement.dataset.theme = choice.value;
    keepChoice("theme", choice.value);
  });
}
