// @ts-check
/** One message in the page, made from its template and changed where the message has changed. */

import { REFUSED, contextPercent, isEmpty } from "../core/message.js";
import { canContinue, canRegenerate, lastMessage, lastQuestion } from "../core/state.js";
import { copyWith } from "./copy.js";
import { decorate } from "./decoration.js";
import { hide, hook, write } from "./dom.js";
import { mountMarkdown } from "./markdown.js";
import { filled } from "./words.js";

/**
 * @typedef {import("../core/state.js").State} State
 * @typedef {import("../core/message.js").Message} Message
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
  const markdown = mountMarkdown(hook(root, "body"), page.render, (element) => decorate(element, page.words));
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
      markdown.set(next.content, next.phase === "done");
      if (next.role === "user") {
        hide(root, '[data-do="edit"]', next !== lastQuestion(state));
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

/** @typedef {ReturnType<typeof mountBubble>} Bubble */

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

/** @param {Message} message @returns {string} */
const wait = (message) => (message.isUnloading ? "unloading" : message.isEvaluating ? "evaluating" : "waiting");

/**
 * Show what the answer waits for, and for how long.
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
  else if (message.phase !== "done" && message.attempt) key = wait(message);
  else if (message.phase === "waiting") key = state.runId && waited > SHOWN_AFTER_MS ? "loading" : "connecting";
  hide(root, "[data-progress]", key === "");
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
  hide(root, "[data-tag]", !isStreaming);
  hide(root, '[data-do="continue"]', !canContinue(state, message));
  hide(root, '[data-do="regenerate"]', !canRegenerate(state, message));
  hide(root, '.tools [data-do="copy"]', message.content === "" || isStreaming);
  const tools = message.tools.length ? filled(words["tools"] ?? "", { names: message.tools.join(", ") }) : "";
  const ending = isEmpty(message) ? "empty" : message.reason;
  const mark = message.phase === "done" ? (words[`mark.${ending}`] ?? tools) : tools;
  hide(root, "[data-mark]", mark === "");
  write(hook(root, "mark"), mark);
  write(hook(root, "stats"), message.stats && !isStreaming ? statsWords(message.stats, words) : "");
}

/**
 * @param {import("../core/message.js").Stats} stats
 * @param {import("./words.js").Dictionary} words
 */
function statsWords(stats, words) {
  const speed = (stats.eval_count ?? 0) / ((stats.eval_duration || 1) / 1e9);
  const total = (stats.total_duration ?? stats.eval_duration ?? 0) / 1e9;
  const figures = filled(words["stats"] ?? "", { speed: speed.toFixed(1), seconds: total.toFixed(1) });
  const percent = contextPercent(stats);
  return percent ? `${figures} · ${filled(words["context"] ?? "", { percent })}` : figures;
}

/** The failures whose words are Ollama's or the gateway's own, and of them those that end a question or a partial answer. */
const OWN_WORDS = ["other", "upstream_error", "upstream_refused", "refused_partial"];
const REFUSALS = { upstream_refused: true, refused_partial: true };

/**
 * Tell which of the page's words a failure has: by its code, but a partial answer that Ollama refused to go on with is
 * no refused question.
 * @param {Message} message
 * @param {import("../core/message.js").Failure} failure
 * @param {import("./words.js").Dictionary} words
 */
function wordsOf(message, failure, words) {
  if (failure.code === REFUSED && message.content !== "") return "refused_partial";
  return words[`error.${failure.code}`] ? failure.code : "other";
}

/**
 * Show what went wrong and what to do about it.
 * @param {HTMLElement} root
 * @param {Message} message
 * @param {State} state
 * @param {Surroundings} page
 */
function showFailure(root, message, state, page) {
  const { failure } = message;
  hide(root, "[data-failure]", failure === null);
  if (!failure) return;
  const words = page.words();
  const code = wordsOf(message, failure, words);
  const isRefused = failure.message.endsWith("refused the connection"); // else it runs, and the words say what is wrong
  const hasReason = code === "upstream_unreachable" && !isRefused;
  const detail = { model_not_found: `ollama pull ${page.model}`, upstream_unreachable: isRefused && "ollama serve" }[code];
  const hasOwnWords = (OWN_WORDS.includes(code) || hasReason) && failure.message !== "";
  const hasButton = message === lastMessage(state);
  const isOfButton = code in REFUSALS || (!detail && !hasOwnWords); // else the hint leads to what is quoted
  hook(root, "failure").dataset.failure = failure.code;
  write(hook(root, "failure-title"), filled(words[`error.${code}`] ?? "", { model: page.model }));
  const hint = words[hasReason ? "error.other.hint" : `error.${code}.hint`] ?? "";
  write(hook(root, "failure-hint"), isOfButton && !hasButton ? "" : hint);
  hide(root, "[data-failure-detail]", !detail && !hasOwnWords);
  write(hook(root, "failure-detail"), detail || failure.message);
  hide(root, '[data-do="retry"]', !hasButton);
}
