// @ts-check
/** The page around the messages: shows a state, tells chat.js what the reader does. Painted at most once a frame. */

import { activeAnswer, canInterrupt, lastQuestion } from "../core/state.js";
import { mountBubble } from "../parts/bubble.js";
import { isComposing, mountComposer } from "../parts/composer.js";
import { hook, write } from "../parts/dom.js";
import { files } from "../parts/place.js";
import { mountScroller } from "../parts/scroller.js";
import { keepChoice } from "../parts/storage.js";
import { mountTheme } from "../parts/theme.js";
import { fill, filled, load } from "../parts/words.js";

/**
 * @typedef {import("../core/state.js").State} State
 *
 * @typedef {object} Actions what the reader can do
 * @property {(text: string) => void} send
 * @property {() => void} interrupt
 * @property {() => void} clear
 * @property {() => void} cancelEdit
 * @property {(action: import("../parts/bubble.js").Action, id: number) => void} act
 */

const MAX_SPOKEN = 1000;

/**
 * @param {Actions} actions
 * @param {(text: string) => Promise<string>} render
 * @param {() => number} silentMs
 */
export async function mountView(actions, render, silentMs) {
  const { model = "" } = document.body.dataset;
  let words = await load(files, document.documentElement.lang);
  const list = hook(document, "messages");
  /** @type {Map<number, import("../parts/bubble.js").Bubble>} */
  const bubbles = new Map();
  /** @type {State | null} */
  let state = null;
  let isPainting = false;
  let isStale = true; // words or time have changed: every bubble is looked at
  /** @type {readonly import("../core/message.js").Message[]} */
  let painted = [];
  const page = { words: () => words, model, render: renderAndFollow, act: actions.act, silentMs };
  const scroller = mountScroller(() => composer.focus());
  const composer = mountComposer(send, scroller.follow);

  /** @param {string} text */
  async function renderAndFollow(text) {
    const html = await render(text);
    requestAnimationFrame(scroller.follow);
    return html;
  }

  function schedule() {
    if (isPainting) return;
    isPainting = true;
    requestAnimationFrame(() => {
      isPainting = false;
      if (state) paint(state);
    });
  }

  /** @param {State} now */
  function paint(now) {
    paintMessages(now);
    paintControls(now);
    scroller.follow();
  }

  /** @param {State} now */
  function paintMessages(now) {
    const { messages } = now;
    const ids = new Set(messages.map((each) => each.id));
    for (const [id, bubble] of bubbles) {
      if (!ids.has(id)) {
        bubble.root.remove();
        bubbles.delete(id);
      }
    }
    messages.forEach((message, index) => {
      let bubble = bubbles.get(message.id);
      if (!bubble) {
        bubble = mountBubble(list, message, page);
        bubbles.set(message.id, bubble);
      }
      const isNearEnd = index >= messages.length - 4; // its buttons depend on what follows
      if (isStale || isNearEnd || painted[index] !== message) bubble.update(message, now, Date.now());
    });
    painted = messages;
    isStale = false;
    hook(document, "empty").hidden = messages.length > 0;
  }

  /** @param {State} now */
  function paintControls(now) {
    /** @type {HTMLButtonElement} */ (hook(document, "interrupt")).disabled = !canInterrupt(now);
    hook(document, "editing").hidden = now.editingId === 0;
    const answer = activeAnswer(now);
    const link = answer?.attempt && !answer.isEvaluating ? "waiting" : now.link;
    hook(document, "link").dataset.link = link;
    const key = link === "connected" && now.isFull ? "link.full" : `link.${link}`;
    write(hook(document, "link-text"), words[key] ?? "");
  }

  /** @param {string} text */
  function send(text) {
    scroller.returnToEnd();
    actions.send(text);
  }

  hook(document, "interrupt").addEventListener("click", () => {
    /** @type {HTMLButtonElement} */ (hook(document, "interrupt")).disabled = true; // at once, not with the next frame
    actions.interrupt();
    composer.focus();
  });
  hook(document, "clear").addEventListener("click", () => {
    actions.clear();
    composer.focus();
  });
  hook(document, "editing-cancel").addEventListener("click", cancelEdit);
  hook(document, "notice-close").addEventListener("click", () => (hook(document, "notice").hidden = true));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || isComposing(event) || document.querySelector("dialog[open]")) return;
    if (state && canInterrupt(state)) actions.interrupt();
    else if (state?.editingId) cancelEdit();
  });
  hook(document, "language").addEventListener("click", async () => {
    const language = words["language.other.code"] ?? "en";
    words = await load(files, language);
    document.documentElement.lang = language;
    keepChoice("language", language);
    fill(document, words, { model });
    hook(document, "language").lang = words["language.other.code"] ?? "";
    isStale = true;
    schedule();
  });
  mountTheme();

  function cancelEdit() {
    composer.set("");
    actions.cancelEdit();
  }

  return {
    /** @param {State} next */
    show(next) {
      state = next;
      document.body.classList.toggle("streaming", next.activeId !== 0);
      schedule();
    },
    /** Look at the clock again: seconds are shown. */
    tick() {
      isStale = true;
      schedule();
    },
    /** Put the last question into the field, to be edited. */
    edit() {
      composer.set((state && lastQuestion(state)?.content) ?? "");
      composer.focus();
    },
    /** @param {string} key of the words */
    notice(key) {
      hook(document, "notice-text").textContent = words[key] ?? "";
      hook(document, "notice").hidden = false;
    },
    hideNotice() {
      hook(document, "notice").hidden = true;
    },
    /**
     * Tell screen readers, once an answer and not at each token.
     * @param {string} key
     * @param {string} text
     */
    announce(key, text) {
      const said = text.length > MAX_SPOKEN ? `${text.slice(0, MAX_SPOKEN)}…` : text;
      hook(document, "announcer").textContent = filled(words[key] ?? "", { text: said });
    },
    isThinkingWanted() {
      return /** @type {HTMLInputElement} */ (hook(document, "think-input")).checked;
    },
    /** @param {boolean} thinks whether the model can */
    showThinkSwitch(thinks) {
      hook(document, "think").hidden = !thinks;
    },
  };
}
