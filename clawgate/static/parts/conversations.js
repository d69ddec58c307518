// @ts-check
/** The list of conversations: titles, a search in titles and texts, and what can be done with each. */

import { hasAll, listed, wordsOf } from "../core/conversations.js";
import { hide, hook, write } from "./dom.js";
import { isComposing } from "./keys.js";

/**
 * @typedef {import("../core/conversations.js").Entry} Entry
 * @typedef {"rename" | "md" | "json" | "remove"} Choice
 *
 * @typedef {object} Actions
 * @property {(id: string) => void} open
 * @property {(id: string, title: string) => void} rename
 * @property {(id: string, choice: Choice) => void} choose
 * @property {(words: readonly string[]) => AsyncGenerator<Map<string, string>>} search lines of those whose texts have them
 *
 * @typedef {object} Shown
 * @property {readonly Entry[]} entries
 * @property {string} openId
 * @property {ReadonlySet<string>} answering
 */

const SEARCH_MS = 150;
const AT_ONCE = 60; // rows of the first paint; the others follow when the page is idle

/**
 * @param {Actions} actions
 * @param {() => import("./words.js").Dictionary} words
 */
export function mountConversations(actions, words) {
  const list = hook(document, "list");
  const search = /** @type {HTMLInputElement} */ (hook(document, "search"));
  const template = /** @type {HTMLTemplateElement} */ (document.querySelector('[data-template="conversation"]'));
  /** @type {Map<string, HTMLElement>} */
  const rows = new Map();
  /** @type {Shown} */
  let shown = { entries: [], openId: "", answering: new Set() };
  /** @type {Map<string, string>} */
  let found = new Map();
  let turn = 0; // counts searches: an older one's finds are not shown
  let timer = 0;

  /** @param {Entry} entry */
  function createRow(entry) {
    const row = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
    row.dataset.conversation = entry.id;
    hook(row, "name").addEventListener("click", () => actions.open(entry.id));
    hook(row, "more").addEventListener("click", () => toggle(row, hook(row, "menu").hidden));
    row.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      const choice = /** @type {Choice | undefined} */ (button?.dataset.choice);
      if (!choice) return;
      toggle(row, false);
      if (choice === "rename") rename(row);
      else actions.choose(entry.id, choice);
      if (choice === "remove") focusBeside(row);
    });
    row.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || hook(row, "menu").hidden) return;
      event.stopPropagation();
      event.preventDefault(); // it closes the menu alone, not the drawer
      toggle(row, false);
      hook(row, "more").focus();
    });
    return row;
  }

  /**
   * Open a row's menu, and close any other; or close it.
   * @param {HTMLElement} row
   * @param {boolean} isOpen
   */
  function toggle(row, isOpen) {
    for (const each of rows.values()) {
      const isThis = each === row && isOpen;
      hook(each, "menu").hidden = !isThis;
      hook(each, "more").setAttribute("aria-expanded", String(isThis));
    }
    if (isOpen) hook(row, "menu").scrollIntoView({ block: "nearest" });
  }

  /** @param {HTMLElement} row */
  function focusBeside(row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    (next ? hook(next, "name") : search).focus();
  }

  /** @param {HTMLElement} row */
  function rename(row) {
    const name = hook(row, "name");
    const input = document.createElement("input");
    input.value = hook(row, "title").textContent ?? "";
    input.className = "rename";
    input.maxLength = 200;
    input.setAttribute("aria-label", words()["rename.label"] ?? "");
    name.hidden = true;
    name.before(input);
    input.select();
    let isOver = false;

    /** @param {boolean} isKept */
    function end(isKept) {
      if (isOver) return;
      isOver = true;
      const hadFocus = document.activeElement === input;
      input.remove();
      name.hidden = false;
      if (isKept) actions.rename(row.dataset.conversation ?? "", input.value.trim());
      if (hadFocus) name.focus();
    }

    input.addEventListener("keydown", (event) => {
      if (isComposing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.stopPropagation();
      event.preventDefault();
      end(event.key === "Enter");
    });
    input.addEventListener("blur", () => end(true));
    input.focus();
  }

  /**
   * @param {HTMLElement} row
   * @param {Entry} entry
   */
  function fillRow(row, entry) {
    const isOpen = entry.id === shown.openId;
    const title = hook(row, "title");
    if (entry.title) delete title.dataset.word;
    else title.dataset.word = "conversations.untitled";
    write(title, entry.title || (words()["conversations.untitled"] ?? ""));
    const name = hook(row, "name");
    name.title = entry.title;
    if (isOpen) name.setAttribute("aria-current", "true");
    else name.removeAttribute("aria-current");
    const isAnswering = shown.answering.has(entry.id);
    hide(row, "[data-answers]", !isAnswering);
    hide(row, "[data-pulse]", !isAnswering);
    const line = found.get(entry.id) ?? "";
    hide(row, "[data-found]", line === "");
    write(hook(row, "found"), line);
  }

  function paint() {
    const query = wordsOf(search.value);
    const wanted = listed(shown.entries).filter((each) => hasAll(each.title, query) || found.has(each.id));
    const ids = new Set(wanted.map((each) => each.id));
    for (const [id, row] of rows) {
      if (ids.has(id)) continue;
      row.remove();
      rows.delete(id);
    }
    fillRows(wanted, 0);
    const isNothing = wanted.length === 0;
    write(hook(document, "nothing"), isNothing ? (words()[query.length ? "search.nothing" : "conversations.none"] ?? "") : "");
  }

  let painting = 0;

  /**
   * @param {readonly Entry[]} wanted
   * @param {number} from
   */
  function fillRows(wanted, from) {
    window.clearTimeout(painting);
    for (const [index, entry] of wanted.slice(from, from + AT_ONCE).entries()) {
      const row = rows.get(entry.id) ?? createRow(entry);
      rows.set(entry.id, row);
      fillRow(row, entry);
      const there = list.children[from + index] ?? null;
      if (there !== row) list.insertBefore(row, there);
    }
    if (from + AT_ONCE < wanted.length) painting = window.setTimeout(() => fillRows(wanted, from + AT_ONCE));
  }

  async function look() {
    const mine = (turn += 1);
    const query = wordsOf(search.value);
    found = new Map();
    paint();
    if (query.length === 0) return;
    for await (const lines of actions.search(query)) {
      if (mine !== turn) return;
      for (const [id, line] of lines) found.set(id, line);
      if (lines.size) paint();
    }
  }

  search.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(look, SEARCH_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || search.value === "") return;
    event.stopPropagation();
    event.preventDefault();
    search.value = "";
    look();
  });

  return {
    /** @param {Shown} next */
    show(next) {
      shown = next;
      paint();
    },
  };
}
