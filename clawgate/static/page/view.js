// @ts-check
/** The page around the messages: shows a state, tells chat.js what the reader does. Painted at most once a frame. */

import { activeAnswer, canInterrupt } from "../core/state.js";
import { mountBanners } from "../parts/banner.js";
import { isComposing, mountComposer } from "../parts/composer.js";
import { hook, write } from "../parts/dom.js";
import { mountMessages } from "../parts/messages.js";
import { mountNotice } from "../parts/notice.js";
import { files } from "../parts/place.js";
import { mountScroller } from "../parts/scroller.js";
import { watchSight } from "../parts/sight.js";
import { keepChoice } from "../parts/storage.js";
import { mountTheme } from "../parts/theme.js";
import { fill, load } from "../parts/words.js";
import { createWork } from "../parts/work.js";

/**
 * @typedef {import("../core/state.js").State} State
 *
 * @typedef {object} Actions what the reader can do
 * @property {(text: string) => void} send
 * @property {() => void} interrupt
 * @property {() => void} clear
 * @property {() => void} cancelEdit
 * @property {(action: import("../parts/bubble.js").Action, id: number) => void} act
 *
 * @typedef {Awaited<ReturnType<typeof mountView>>} View
 */

/**
 * @param {Actions} actions
 * @param {import("../core/renderings.js").Render} render
 * @param {() => number} silentMs
 */
export async function mountView(actions, render, silentMs) {
  let { model = "" } = document.body.dataset;
  let words = await load(files, document.documentElement.lang);
  /** @type {State | null} */
  let state = null;
  let isPainting = false;
  let isStale = true; // words or time have changed: every bubble is looked at
  const page = { words: () => words, model: () => model, render, later: createWork(), sight: watchSight(), act: actions.act, silentMs };
  const scroller = mountScroller(() => composer.focus());
  const composer = mountComposer(send, scroller.follow);
  const messages = mountMessages(page);
  const notice = mountNotice(page);

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
    messages.paint(now, isStale);
    isStale = false;
    paintControls(now);
    scroller.follow();
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
    hook(document, "language").lang = words["language.other.code"] ?? "";
    refill();
  });
  mountTheme();

  /** Put the words in anew: another language, or another model in them. */
  function refill() {
    fill(document, words, { model });
    isStale = true;
    schedule();
  }

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
    /** Put the question that is being edited into the field. */
    edit() {
      composer.set(state?.messages.find((each) => each.id === state?.editingId)?.content ?? "");
      composer.focus();
    },
    ...notice,
    showBanner: mountBanners(),
    /** @param {string} name of the model in force */
    showModel(name) {
      model = name;
      document.title = `clawgate · ${name}`;
      write(hook(document, "model-name"), name);
      refill();
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
