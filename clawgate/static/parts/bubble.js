// @ts-check
/** One message in the page: made from its template, changed where the message has changed. */

import { copy, hook } from "./browser.js";
import { createMarkdown } from "./markdown.js";
import { canContinue, canRegenerate, lastQuestion } from "../core/state.js";
import { filled } from "./words.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/state.js").Message} Message
 * @typedef {"edit" | "retry" | "continue" | "regenerate"} Action
 *
 * @typedef {object} Surroundings what a bubble needs of the page
 * @property {() => import("./words.js").Dictionary} words
 * @property {string} model
 * @property {(text: string) => Promise<string>} render
 * @property {(action: Action, id: number) => void} act
 * @property {() => number} silentMs how long the gateway has said nothing; 0 where that is no matter
 */

const SHOWN_AFTER_MS = 1500; // no words for waits that nobody notices
const COPIED_MS = 2000;

/**
 * @param {Message} message
 * @param {Surroundings} page
 */
export function createBubble(message, page) {
  const template = /** @type {HTMLTemplateElement} */ (document.querySelector(`[data-template="${message.role}"]`));
  const root = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
  root.dataset.id = String(message.id);
  const markdown = createMarkdown(hook(root, "body"), page.render, (element) => decorate(element, page));
  let latest = message;
  root.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button?.dataset.do === "copy") copyWith(button, latest.content, page);
    else if (button?.dataset.do) page.act(/** @type {Action} */ (button.dataset.do), latest.id);
  });
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
      markdown.set(next.content, next.phase === "done");
      if (next.role === "user") {
        hidden(root, '[data-do="edit"]', next !== lastQuestion(state));
        root.classList.toggle("edited", next.id === state.editingId);
        return;
      }
      showThinking(root, next, wasThinking, now, page.words());
      showProgress(root, next, state, now, page);
      showEnding(root, next, state, page.words());
      showFailure(root, next, state, page);
    },
  };
}

/** @typedef {ReturnType<typeof createBubble>} Bubble */

/**
 * @param {HTMLElement} root
 * @param {string} selector
 * @param {boolean} isHidden
 */
function hidden(root, selector, isHidden) {
  const found = /** @type {HTMLElement | null} */ (root.querySelector(selector));
  if (found && found.hidden !== isHidden) found.hidden = isHidden;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const seconds = (/** @type {number} */ ms) => Math.max(0, Math.round(ms / 1000));

/**
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {boolean} wasThinking
 * @param {number} now
 * @param {import("./words.js").Dictionary} words
 */
function showThinking(root, message, wasThinking, now, words) {
  const fold = /** @type {HTMLDetailsElement} */ (hook(root, "thinking"));
  const isThinking = message.phase === "thinking";
  fold.hidden = message.thinking === "";
  if (isThinking && !wasThinking) fold.open = true;
  if (!isThinking && wasThinking) fold.open = false;
  const thoughts = hook(root, "thoughts");
  const shown = thoughts.firstChild;
  if (shown instanceof Text && message.thinking.startsWith(shown.data)) {
    if (message.thinking.length > shown.length) shown.appendData(message.thinking.slice(shown.length));
  } else {
    thoughts.textContent = message.thinking;
  }
  if (isThinking) thoughts.scrollTop = thoughts.scrollHeight;
  const ms = isThinking ? now - message.thinkingSince : message.thoughtMs;
  const key = isThinking ? "thinking.now" : ms ? "thinking.done" : "thinking.kept";
  write(hook(root, "thinking-label"), filled(words[key] ?? "", { seconds: Math.max(seconds(ms), isThinking ? 0 : 1) }));
}

/**
 * Say what is being waited for, with its seconds.
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {number} now
 * @param {Surroundings} page
 */
function showProgress(root, message, state, now, page) {
  const waited = now - message.askedAt;
  const silent = page.silentMs();
  const isActive = message.id === state.activeId;
  let key = "";
  if (isActive && state.isInterrupting) key = "interrupting";
  else if (isActive && silent) key = "silent";
  else if (message.phase !== "done" && message.attempt) key = message.isUnloading ? "unloading" : "waiting";
  else if (message.phase === "waiting") key = state.runId && waited > SHOWN_AFTER_MS ? "loading" : "connecting";
  hidden(root, "[data-progress]", key === "");
  hook(root, "progress").dataset.progress = key;
  const values = { seconds: seconds(key === "silent" ? silent : waited), attempt: message.attempt };
  write(hook(root, "progress-text"), key && filled(page.words()[key] ?? "", values));
}

/**
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {import("./words.js").Dictionary} words
 */
function showEnding(root, message, state, words) {
  const isStreaming = message.id === state.activeId;
  hidden(root, "[data-tag]", !isStreaming);
  hidden(root, '[data-do="continue"]', !canContinue(state, message));
  hidden(root, '[data-do="regenerate"]', !canRegenerate(state, message));
  hidden(root, '.tools [data-do="copy"]', message.content === "" || isStreaming);
  const tools = message.tools.length ? filled(words["tools"] ?? "", { names: message.tools.join(", ") }) : "";
  const mark = message.phase === "done" ? (words[`mark.${message.reason}`] ?? tools) : tools;
  hidden(root, "[data-mark]", mark === "");
  write(hook(root, "mark"), mark);
  write(hook(root, "stats"), message.stats && !isStreaming ? statsWords(message.stats, words) : "");
}

/**
 * @param {import("../core/state.js").Stats} stats
 * @param {import("./words.js").Dictionary} words
 */
function statsWords(stats, words) {
  const speed = (stats.eval_count ?? 0) / ((stats.eval_duration || 1) / 1e9);
  const total = (stats.total_duration ?? stats.eval_duration ?? 0) / 1e9;
  return filled(words["stats"] ?? "", { speed: speed.toFixed(1), seconds: total.toFixed(1) });
}

/**
 * Say what went wrong and what to do about it.
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {Surroundings} page
 */
function showFailure(root, message, state, page) {
  const { failure } = message;
  hidden(root, "[data-failure]", failure === null);
  if (!failure) return;
  const words = page.words();
  const code = words[`error.${failure.code}`] ? failure.code : "other";
  const detail = { model_not_found: `ollama pull ${page.model}`, upstream_unreachable: "ollama serve" }[code];
  const hasOwnWords = code === "other" || code === "upstream_error";
  hook(root, "failure").dataset.failure = failure.code;
  write(hook(root, "failure-title"), filled(words[`error.${code}`] ?? "", { model: page.model }));
  write(hook(root, "failure-hint"), words[`error.${code}.hint`] ?? "");
  hidden(root, "[data-failure-detail]", !detail && !hasOwnWords);
  write(hook(root, "failure-detail"), detail ?? failure.message);
  hidden(root, '[data-do="retry"]', message !== state.messages[state.messages.length - 1]);
}

/**
 * Add what the page offers at rendered Markdown: a copy button at code, scrolling by keyboard, words at images.
 * @param {HTMLElement} element
 * @param {Surroundings} page
 */
function decorate(element, page) {
  const words = page.words();
  for (const pre of element.querySelectorAll("pre")) {
    const box = document.createElement("div");
    box.className = "code";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.dataset.word = "copy";
    button.dataset.wordLabel = "copy.code";
    button.textContent = words["copy"] ?? "";
    button.setAttribute("aria-label", words["copy.code"] ?? "");
    button.addEventListener("click", () => copyWith(button, pre.textContent ?? "", page));
    const name = document.createElement("span");
    name.textContent = /language-(\S+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
    scrollable(pre, words["code"] ?? "");
    pre.replaceWith(box);
    box.append(name, button, pre);
  }
  for (const table of element.querySelectorAll("table")) {
    const box = document.createElement("div");
    box.className = "wide";
    scrollable(box, words["table"] ?? "");
    table.replaceWith(box);
    box.append(table);
  }
  for (const link of element.querySelectorAll("a.remote-image")) link.setAttribute("title", (words["image"] ?? "") + link.getAttribute("href"));
}

/**
 * @param {HTMLElement} element
 * @param {string} label
 */
function scrollable(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", label);
}

/**
 * @param {HTMLElement} button
 * @param {string} text
 * @param {Surroundings} page
 */
async function copyWith(button, text, page) {
  const isCopied = await copy(text);
  button.textContent = page.words()[isCopied ? "copied" : "copy.failed"] ?? "";
  button.dataset.copied = isCopied ? "yes" : "no";
  setTimeout(() => {
    button.textContent = page.words()["copy"] ?? "";
    delete button.dataset.copied;
  }, COPIED_MS);
}
