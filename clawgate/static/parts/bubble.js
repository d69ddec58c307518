// @ts-check
/** One message in the page, made from its template and changed where the message has changed. */

import { isUnfinished } from "../core/message.js";
import { showBranches } from "./branching.js";
import { copyWith } from "./copy.js";
import { hook } from "./dom.js";
import { showContext } from "./context.js";
import { showEnding } from "./ending.js";
import { showFailure } from "./failure.js";
import { mountMarkdown } from "./markdown.js";
import { showPictures } from "./pictures.js";
import { showProgress } from "./progress.js";
import { showThinking } from "./thinking.js";
import { mountVerbatim } from "./verbatim.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/message.js").Message} Message
 * @typedef {"edit" | "retry" | "continue" | "regenerate" | "delete" | "token" | "reload" | "previous" | "next"} Action
 *
 * @typedef {object} Surroundings what a bubble needs of the page
 * @property {() => import("./words.js").Dictionary} words
 * @property {() => string} model in force
 * @property {import("../core/renderings.js").Render} render
 * @property {(task: () => void) => void} later does a task when there is time for it
 * @property {(element: Element) => void} sight lets the browser leave an element out once it is out of sight
 * @property {(action: Action, id: number) => void} act
 * @property {() => number} silentMs how long the gateway has said nothing; 0 where that is no matter
 */

/**
 * Make a bubble at the end of the list.
 * @param {HTMLElement} list
 * @param {Message} message
 * @param {Surroundings} page
 */
export function mountBubble(list, message, page) {
  const template = /** @type {HTMLTemplateElement} */ (document.querySelector(`[data-template="${message.role}"]`));
  const root = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
  root.dataset.id = String(message.id);
  const body = hook(root, "body");
  const content = message.role === "user" ? mountVerbatim(body, page.words) : mountMarkdown(body, message.id, page);
  let latest = message;
  root.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.dataset.do === "copy") copyWith(button, latest.content, page.words);
    else if (button?.dataset.do) page.act(/** @type {Action} */ (button.dataset.do), latest.id);
  });
  list.append(root);
  return {
    root,
    /**
     * @param {Message} next
     * @param {State} state
     * @param {number} now
     */
    update(next, state, now) {
      const wasThinking = latest.phase === "thinking";
      latest = next;
      root.dataset.phase = next.phase;
      root.dataset.reason = next.reason;
      content.set(next.content, next.phase === "done", isUnfinished(next));
      showBranches(root, next, state);
      if (next.role === "user") {
        showPictures(root, next.images, page.words());
        root.classList.toggle("edited", next.id === state.editingId);
        return;
      }
      showThinking(root, next, wasThinking, now, page.words());
      showProgress(root, next, state, now, page);
      showContext(root, next, state);
      showEnding(root, next, state, page.words());
      showFailure(root, next, state, page);
    },
  };
}

/** @typedef {ReturnType<typeof mountBubble>} Bubble */
