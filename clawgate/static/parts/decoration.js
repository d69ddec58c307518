// @ts-check
/** The page's additions to rendered Markdown. */

import { boxOf, make, scrollable } from "./code.js";

/** Elements between whose children spaces mean nothing. */
const LOOSE = new Set(["ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr", "div"]);
/** The outermost blocks alone: a direction within would hide its text from theirs. */
export const DIRECTED = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table", "div"]);

/**
 * Give each block of code its copy button and language, code and tables a box that scrolls by keyboard, each block the
 * direction of its text, each footnote its way, and each link to an image elsewhere its words.
 * @param {DocumentFragment} fragment rendered Markdown
 * @param {() => import("./words.js").Dictionary} words
 * @param {number} id of the message
 */
export function decorate(fragment, words, id) {
  dropSpaces(fragment);
  for (const block of fragment.children) if (DIRECTED.has(block.localName)) block.setAttribute("dir", "auto");
  for (const pre of fragment.querySelectorAll("pre")) boxOf(pre, words);
  for (const table of fragment.querySelectorAll("table")) tableBox(table, words);
  for (const code of fragment.querySelectorAll("code, math")) code.setAttribute("dir", "ltr");
  for (const link of fragment.querySelectorAll("a.remote-image")) {
    link.setAttribute("title", (words()["image"] ?? "") + link.getAttribute("href"));
  }
  linkFootnotes(fragment, words, id);
}

/** @param {HTMLTableElement | HTMLElement} table @param {() => import("./words.js").Dictionary} words */
export function tableBox(table, words) {
  const box = make("div", "wide");
  scrollable(box, words()["table"] ?? "");
  table.replaceWith(box);
  box.append(table);
  return box;
}

/** @param {DocumentFragment} fragment */
function dropSpaces(fragment) {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const spaces = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentNode;
    const isLoose = parent === fragment || (parent instanceof Element && LOOSE.has(parent.localName));
    if (isLoose && /^\s*$/.test(/** @type {Text} */ (node).data)) spaces.push(node);
  }
  for (const each of spaces) /** @type {Text} */ (each).remove();
}

/**
 * Make a footnote's number lead to its text and back.
 * @param {DocumentFragment} fragment
 * @param {() => import("./words.js").Dictionary} words
 * @param {number} id
 */
function linkFootnotes(fragment, words, id) {
  const [noted, marked] = [`note-${id}-`, `mark-${id}-`]; // two beginnings: a label can be any other part of an id
  for (const mark of fragment.querySelectorAll("sup[data-footnote]")) {
    const name = mark.getAttribute("data-footnote") ?? "";
    const link = make("a", "", { href: `#${noted}${encodeURIComponent(name)}`, "aria-label": `${words()["footnote"] ?? ""} ${name}` });
    link.append(...mark.childNodes);
    mark.append(link);
    mark.id = marked + name;
  }
  for (const note of fragment.querySelectorAll("div.footnote[data-footnote]")) {
    const name = note.getAttribute("data-footnote") ?? "";
    note.id = noted + name;
    const back = make("a", "back", { href: `#${marked}${encodeURIComponent(name)}`, "aria-label": words()["footnote.back"] ?? "" });
    back.textContent = "↩";
    (note.lastElementChild?.localName === "p" ? note.lastElementChild : note).append(" ", back);
  }
}
