// @ts-check
/** The ways that the conversation has taken at a message: which one is shown, and the buttons to the others. */

import { siblings } from "../core/branches.js";
import { hide, hook, write } from "./dom.js";

/**
 * @param {HTMLElement} root
 * @param {import("../core/message.js").Message} message
 * @param {import("../core/state.js").State} state
 */
export function showBranches(root, message, state) {
  const ids = siblings(state, message.id);
  const place = ids.indexOf(message.id);
  hide(root, "[data-branches]", ids.length < 2);
  if (ids.length < 2) return;
  write(hook(root, "branch"), `${place + 1}/${ids.length}`);
  for (const [action, isThere] of /** @type {const} */ ([["previous", place > 0], ["next", place < ids.length - 1]])) {
    const button = /** @type {HTMLButtonElement} */ (root.querySelector(`[data-do="${action}"]`));
    if (button.disabled === isThere) button.disabled = !isThere;
  }
}
