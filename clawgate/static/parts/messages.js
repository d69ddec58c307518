// @ts-check
/** The list of messages: a bubble for each, changed where its message has changed. */

import { mountBubble } from "./bubble.js";
import { hook } from "./dom.js";

const NEAR_END = 4; // the buttons of the last bubbles depend on what follows

/** @param {import("./bubble.js").Surroundings} page */
export function mountMessages(page) {
  const list = hook(document, "messages");
  /** @type {Map<number, import("./bubble.js").Bubble>} */
  const bubbles = new Map();
  /** @type {readonly import("../core/message.js").Message[]} */
  let painted = [];
  let conversation = "";

  return {
    /**
     * @param {import("../core/state.js").State} now
     * @param {boolean} isStale words or time have changed: every bubble is looked at
     */
    paint(now, isStale) {
      const { messages } = now;
      const roles = new Map(messages.map((each) => [each.id, each.role]));
      const isOther = conversation !== now.id;
      if (isOther) painted = [];
      conversation = now.id;
      for (const [id, bubble] of bubbles) {
        if (isOther || roles.get(id) !== bubble.root.dataset.message) {
          bubble.root.remove();
          bubbles.delete(id);
        }
      }
      messages.forEach((message, index) => {
        let bubble = bubbles.get(message.id);
        if (!bubble) {
          bubble = mountBubble(list, message, page);
          bubble.root.classList.toggle("past", index < messages.length - NEAR_END); // of a conversation that comes back
          bubbles.set(message.id, bubble);
          const there = list.children[index] ?? null;
          if (there !== bubble.root) list.insertBefore(bubble.root, there);
        }
        const isNearEnd = index >= messages.length - NEAR_END;
        if (isStale || isNearEnd || painted[index] !== message) bubble.update(message, now, Date.now());
      });
      painted = messages;
      hook(document, "empty").hidden = messages.length > 0;
    },
  };
}
