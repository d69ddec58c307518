// @ts-check
/** The line of messages: one goes out at once, or behind the answer that streams. None is lost on its way. */

import { MAX_QUEUED, canQueue, nextQueued, queued, withdrawn } from "../core/queue.js";
import { modelOf } from "../core/settings.js";
import { streamingId } from "../core/state.js";

/**
 * @param {import("../core/store.js").Store} store
 * @param {import("./view.js").View} view
 * @param {(text: string, images: readonly string[]) => unknown} ask
 */
export function mountLine(store, view, ask) {
  return {
    /**
     * @param {string} text
     * @param {readonly string[]} images
     * @param {import("../parts/composer.js").Way} way
     * @returns {boolean} false where it stays where it is, and why is said
     */
    send(text, images, way) {
      const state = store.get();
      const model = modelOf(state);
      if (images.length && model?.vision === false) {
        view.notice("attach.blind", { model: model.name });
        return false;
      }
      if (way === "now" || streamingId(state) === 0 || state.editingId !== 0) {
        ask(text, images);
        return true;
      }
      if (!canQueue(state)) {
        view.notice("queue.full", { most: MAX_QUEUED });
        return false;
      }
      store.set(queued(state, text, images));
      view.announce("queue.added", text);
      return true;
    },
    /** @param {number} id */
    withdraw(id) {
      store.set(withdrawn(store.get(), id));
    },
    /** Send what waits first, where an answer has ended by itself. @param {import("../core/message.js").Message} answer */
    next(answer) {
      const item = nextQueued(store.get(), answer);
      if (!item) return;
      store.set(withdrawn(store.get(), item.id));
      ask(item.content, item.images);
    },
  };
}
