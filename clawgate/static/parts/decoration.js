// @ts-check
/** The page's additions to rendered Markdown. */

import { copyWith } from "./copy.js";

/**
 * Give each block of code its copy button and language, code and tables a box that scrolls by keyboard, and each link
 * to an image elsewhere its words.
 * @param {HTMLElement} element rendered Markdown
 * @param {() => import("./words.js").Dictionary} words
 */
export function decorate(element, words) {
  for (const pre of element.querySelectorAll("pre")) {
    const box = document.createElement("div");
    box.className = "code";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.dataset.word = "copy";
    button.dataset.wordLabel = "copy.code";
    button.textContent = words()["copy"] ?? "";
    button.setAttribute("aria-label", words()["copy.code"] ?? "");
    button.addEventListener("click", () => copyWith(button, pre.textContent ?? "", words));
    const name = document.createElement("span");
    name.textContent = /language-(\S+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
    scrollable(pre, words()["code"] ?? "");
    pre.replaceWith(box);
    box.append(name, button, pre);
  }
  for (const table of element.querySelectorAll("table")) {
    const box = document.createElement("div");
    box.className = "wide";
    scrollable(box, words()["table"] ?? "");
    table.replaceWith(box);
    box.append(table);
  }
  for (const link of element.querySelectorAll("a.remote-image")) {
    link.setAttribute("title", (words()["image"] ?? "") + link.getAttribute("href"));
  }
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
