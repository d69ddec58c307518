// @ts-check
/** The page around the messages: shows a state, tells chat.js what the reader does. Painted at most once a frame. */

import { DEFAULTS, modelOf } from "../core/settings.js";
import { activeAnswer, canInterrupt, lastQuestion } from "../core/state.js";
import { mountBanners } from "../parts/banner.js";
import { mountComposer } from "../parts/composer.js";
import { hook, write } from "../parts/dom.js";
import { mountExamples } from "../parts/examples.js";
import { isComposing, isDialogOpen } from "../parts/keys.js";
import { mountMessages } from "../parts/messages.js";
import { mountMeter } from "../parts/meter.js";
import { mountModels } from "../parts/models.js";
import { mountNotice } from "../parts/notice.js";
import { files } from "../parts/place.js";
import { mountQueue } from "../parts/queue.js";
import { mountScroller } from "../parts/scroller.js";
import { mountSettings } from "../parts/settings.js";
import { mountShortcuts } from "../parts/shortcuts.js";
import { watchSight } from "../parts/sight.js";
import { keepChoice } from "../parts/storage.js";
import { mountTheme } from "../parts/theme.js";
import { mountViewport } from "../parts/viewport.js";
import { fill, load } from "../parts/words.js";
import { createWork } from "../parts/work.js";

/**
 * @typedef {import("../core/state.js").State} State
 *
 * @typedef {object} Actions what the reader can do
 * @property {(text: string, images: readonly string[], way: import("../parts/composer.js").Way) => boolean} send false where
 *   nothing is sent
 * @property {(change: Partial<import("../core/settings.js").Settings>) => void} configure
 * @property {(id: number) => void} withdraw takes a message out of the queue
 * @property {() => void} interrupt
 * @property {() => void} clear
 * @property {(text: string) => void} draft what stands in the field
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
  let seemsToThink = false; // counts while the gateway has not said what the model can
  let isPainting = false;
  let isHeld = false;
  /** The conversation whose next message stands in the field; "": a question that is edited. @type {string | null} */
  let writing = null;
  /** The pictures of messages that are being written, while something else is in the field. @type {Map<string, readonly string[]>} */
  const pictures = new Map();
  let isStale = true; // words or time have changed: every bubble is looked at
  const page = { words: () => words, model: () => model, render, later: createWork(), sight: watchSight(), act: actions.act, silentMs };
  const scroller = mountScroller(() => composer.refocus());
  const notice = mountNotice(page);
  const composer = mountComposer({
    send,
    interrupt: () => hook(document, "interrupt").click(),
    editLast,
    onResize: scroller.follow,
    onInput: actions.draft,
    limits: {
      canSee: () => (state && modelOf(state)?.vision) ?? null,
      model: () => (state && modelOf(state)?.name) || model,
      pictureBytes: Number(document.body.dataset.pictureBytes ?? Infinity),
    },
    notice: notice.notice,
    words: page.words,
  });
  const messages = mountMessages(page);
  const queue = mountQueue(handle, page.words, scroller.follow);
  const meter = mountMeter(page.words);
  const models = mountModels((chosen) => actions.configure({ model: chosen }), page.words);
  const settings = mountSettings(() => state?.settings ?? DEFAULTS, actions.configure, page.words);
  mountShortcuts();
  mountExamples((text) => {
    send(text, [], "now");
    composer.refocus();
  });
  mountViewport();

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
    follow(modelOf(now)?.name ?? model);
    messages.paint(now, isStale);
    queue.paint(now.queue, isStale);
    isStale = false;
    paintControls(now);
    scroller.follow();
  }

  /** @param {State} now */
  function paintControls(now) {
    /** @type {HTMLButtonElement} */ (hook(document, "interrupt")).disabled = !canInterrupt(now);
    hook(document, "editing").hidden = now.editingId === 0;
    composer.paint(canInterrupt(now));
    meter.paint(now.messages);
    models.paint(now);
    settings.paint(now.settings);
    hook(document, "think").hidden = !(modelOf(now)?.thinking ?? seemsToThink);
    /** @type {HTMLInputElement} */ (hook(document, "think-input")).checked = now.settings.think;
    const answer = activeAnswer(now);
    const link = answer?.attempt && !answer.isEvaluating ? "waiting" : now.link;
    hook(document, "link").dataset.link = link;
    const key = link === "connected" && now.isFull ? "link.full" : `link.${link}`;
    write(hook(document, "link-text"), words[key] ?? "");
  }

  /**
   * @param {string} text
   * @param {readonly string[]} images
   * @param {import("../parts/composer.js").Way} way
   */
  function send(text, images, way) {
    scroller.returnToEnd();
    return actions.send(text, images, way);
  }

  /**
   * @param {import("../parts/queue.js").Deed} deed
   * @param {import("../core/queue.js").Queued} item
   */
  function handle(deed, { id, content, images }) {
    if (deed === "send") actions.cancelEdit(); // it replaces no question
    if (deed === "send" && !send(content, images, "now")) return;
    actions.withdraw(id);
    if (deed === "edit") composer.putBack(content, images);
    if (deed === "edit") composer.focus();
    else composer.refocus();
  }

  /** Edit the last question, where there is one. */
  function editLast() {
    const question = state && lastQuestion(state);
    if (question) actions.act("edit", question.id);
  }

  hook(document, "interrupt").addEventListener("click", () => {
    /** @type {HTMLButtonElement} */ (hook(document, "interrupt")).disabled = true; // at once, not with the next frame
    actions.interrupt();
    composer.refocus();
  });
  hook(document, "clear").addEventListener("click", () => {
    actions.clear();
    composer.refocus();
  });
  hook(document, "editing-cancel").addEventListener("click", cancelEdit);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || isComposing(event) || isDialogOpen()) return;
    if (state && canInterrupt(state)) actions.interrupt();
    else if (state?.editingId) cancelEdit();
  });
  hook(document, "language").addEventListener("click", async () => {
    const language = words["language.other.code"] ?? "en";
    keepChoice("language", language); // at once: the page may be left before the words are there
    words = await load(files, language);
    document.documentElement.lang = language;
    hook(document, "language").lang = words["language.other.code"] ?? "";
    refill();
  });
  hook(document, "think-input").addEventListener("change", (event) => {
    actions.configure({ think: /** @type {HTMLInputElement} */ (event.target).checked });
  });
  mountTheme();

  /**
   * Name another model in all words: another was chosen, or is in force since a reload of the gateway's configuration.
   * @param {string} name
   */
  function follow(name) {
    if (name === model) return;
    model = name;
    document.title = `clawgate · ${name}`;
    refill();
  }

  /** Put the words in anew: another language, or another model in them. */
  function refill() {
    fill(document, words, { model });
    isStale = true;
    schedule();
  }

  function cancelEdit() {
    actions.cancelEdit();
    if (state) take(state);
  }

  /** Put into the field what is being written in a conversation; the pictures of what stood there wait for its return. @param {State} next */
  function take(next) {
    const question = next.messages.find((each) => each.id === next.editingId);
    if (writing) pictures.set(writing, composer.images());
    writing = question ? "" : next.id;
    composer.set(question ? next.edit : next.draft, question ? question.images : pictures.get(next.id));
    if (!question) pictures.delete(next.id);
  }

  return {
    /** @param {State} next */
    show(next) {
      state = next;
      document.body.classList.toggle("streaming", next.activeId !== 0 || isHeld);
      schedule();
    },
    /** Tell that something is about to be asked, or no longer. @param {boolean} isSoon */
    hold(isSoon) {
      isHeld = isSoon;
      document.body.classList.toggle("streaming", (state?.activeId ?? 0) !== 0 || isHeld);
    },
    /** Look at the clock again: seconds are shown. */
    tick() {
      isStale = true;
      schedule();
    },
    /** Put the question that is being edited into the field. */
    edit() {
      if (state) take(state);
      composer.focus();
    },
    /**
     * Turn to another conversation: what is being written there stands in the field.
     * @param {State} next
     */
    turnTo(next) {
      take(next);
      notice.hideNotice();
      scroller.returnToEnd();
    },
    /** Go on with what was being written before a question was edited. @param {State} next */
    write: take,
    focus: composer.refocus,
    /**
     * Focus a button of a message, once it has been painted; where it is not to be had, the other one beside it.
     * @param {number} id
     * @param {string} action
     */
    focusButton(id, action) {
      requestAnimationFrame(() => {
        const group = document.querySelector(`[data-messages] > [data-id="${id}"] [data-branches]`);
        const button = group?.querySelector(`[data-do="${action}"]:enabled`) ?? group?.querySelector("button:enabled");
        if (button instanceof HTMLElement) button.focus({ preventScroll: true });
      });
    },
    ...notice,
    words: page.words,
    showBanner: mountBanners(),
    /** @param {boolean} thinks whether the model can */
    showThinkSwitch(thinks) {
      seemsToThink = thinks;
      schedule();
    },
  };
}
