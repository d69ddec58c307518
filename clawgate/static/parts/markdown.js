// @ts-check
/**
 * One message's text in the page. While it is written, each finished block is rendered once and the open tail is text;
 * at the end the whole is rendered once. A text that the server cannot render stays as it is.
 */

import { advance, beginScan } from "../core/blocks.js";

/**
 * @param {HTMLElement} root empty
 * @param {(text: string) => Promise<string>} render Markdown to sanitised HTML
 * @param {(element: HTMLElement) => void} onRendered adds what the page offers at code and tables
 */
export function mountMarkdown(root, render, onRendered) {
  let shown = "";
  let isFinal = false;
  let turn = 0; // counts what makes answers of older requests void
  let scan = beginScan();
  let queue = "";
  let isRendering = false;
  let isReopening = false;
  const tail = document.createElement("div");
  tail.className = "tail";
  const tailText = document.createTextNode("");
  tail.append(tailText);

  /** @param {string} html */
  function rendered(html) {
    const block = document.createElement("div");
    block.innerHTML = html;
    onRendered(block);
    return block;
  }

  /** Show what has been finished as text, until its rendering is there. */
  function showQueue() {
    const waiting = document.createElement("div");
    waiting.className = "tail";
    waiting.textContent = queue.trim();
    queue = "";
    root.insertBefore(waiting, tail);
    return waiting;
  }

  /** Render what has been finished, in one request at a time; what is finished meanwhile goes with the next. */
  async function pump() {
    if (isRendering || queue === "") return;
    isRendering = true;
    const mine = turn;
    const text = queue;
    const waiting = showQueue();
    try {
      const html = await render(text);
      if (mine === turn) waiting.replaceWith(rendered(html));
    } catch {
      // it stays text
    }
    isRendering = false;
    if (mine === turn) pump();
  }

  /** @param {string} text */
  async function renderWhole(text) {
    const mine = turn;
    try {
      const html = await render(text);
      if (mine === turn) root.replaceChildren(rendered(html));
    } catch {
      // what is there stays
    }
  }

  function begin() {
    turn += 1;
    scan = beginScan();
    queue = "";
    isRendering = false;
    tailText.data = "";
    root.replaceChildren(tail);
  }

  /** @param {string} text */
  function grow(text) {
    const before = scan.cut;
    const step = advance(scan, text);
    scan = step.scan;
    if (scan.cut === before) {
      tailText.appendData(text.slice(before + tailText.length));
    } else {
      tailText.data = text.slice(scan.cut);
    }
    queue += step.blocks.join("");
    pump();
  }

  /** Go on after a whole rendering: it stays in view until its finished part has been rendered alone. */
  async function reopen() {
    const mine = ++turn;
    const step = advance(beginScan(), shown);
    const done = shown.slice(0, step.scan.cut);
    let after = step.scan;
    let html = "";
    try {
      html = done.trim() ? await render(done) : "";
    } catch {
      after = beginScan();
    }
    if (mine !== turn) return;
    begin();
    scan = after;
    if (html) root.insertBefore(rendered(html), tail);
    isReopening = false;
    grow(shown);
  }

  return {
    /**
     * Show this text.
     * @param {string} text
     * @param {boolean} isWhole nothing more will come
     */
    set(text, isWhole) {
      if (text === shown && isWhole === isFinal) return;
      const isLonger = text.startsWith(shown);
      const wasFinal = isFinal;
      [shown, isFinal] = [text, isWhole];
      if (isWhole) {
        isReopening = false;
        if (!root.hasChildNodes() || !isLonger) begin();
        turn += 1;
        isRendering = false;
        if (queue !== "") showQueue();
        if (tail.isConnected) tailText.data = text.slice(scan.cut);
        if (text !== "") renderWhole(text);
        else root.replaceChildren();
      } else if (wasFinal && isLonger && root.hasChildNodes()) {
        isReopening = true;
        reopen();
      } else if (!isReopening) {
        if (!isLonger || !tail.isConnected) begin();
        grow(text);
      }
    },
  };
}
