// @ts-check
/**
 * Cuts a Markdown text that is still being written into blocks that later text will not change: pure. parts/markdown.js
 * renders each such block once. A cut that is a little too early shows only while the answer streams: at the end the
 * whole is rendered.
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const LIST = /^ {0,3}([-*+]|\d{1,9}[.)])(\s|$)/;
const PERHAPS_LIST = /^ {0,3}([-*+]|\d{0,9}[.)]?)$/;

/**
 * @typedef {object} Scan
 * @property {number} cut everything before it has been given out as blocks
 * @property {number} at the start of the first line that has not been looked at
 * @property {string} fence the marker of the code block that is open; "" outside of one
 * @property {boolean} isList the open block began as a list: an indented or further item may follow a blank line
 * @property {boolean} isBlank the last line was blank
 */

/** @returns {Scan} */
export const beginScan = () => ({ cut: 0, at: 0, fence: "", isList: false, isBlank: true });

/**
 * Look at what has been added since the last call.
 * @param {Scan} scan
 * @param {string} text the whole text so far; it only ever grows
 * @returns {{scan: Scan, blocks: string[]}} the blocks that are finished now
 */
export function advance(scan, text) {
  let { cut, at, fence, isList, isBlank } = scan;
  /** @type {string[]} */
  const blocks = [];

  /** @param {number} end */
  function finish(end) {
    const block = text.slice(cut, end);
    if (block.trim() !== "") blocks.push(block);
    cut = end;
    isList = false;
  }

  for (;;) {
    const end = text.indexOf("\n", at);
    const line = text.slice(at, end < 0 ? text.length : end);
    if (end < 0) {
      const isClear = line.trim() !== "" && !/^\s/.test(line) && !PERHAPS_LIST.test(line) && !LIST.test(line);
      if (isBlank && isList && !fence && isClear) finish(at);
      break;
    }
    const marker = FENCE.exec(line.replace(/\r$/, ""));
    const isIndented = /^\s/.test(line);
    if (fence) {
      if (marker && marker[1]?.startsWith(fence) && marker[2]?.trim() === "") {
        fence = "";
        if (!isList) finish(end + 1);
      }
    } else if (line.trim() === "") {
      if (!isList || text.slice(cut, at).trim() === "") finish(end + 1); // blank lines between blocks go, too
    } else {
      if (isBlank && isList && !isIndented && !LIST.test(line)) finish(at);
      if (text.slice(cut, at).trim() === "") isList = LIST.test(line) || isIndented;
      if (marker && !(marker[1]?.startsWith("`") && marker[2]?.includes("`"))) fence = marker[1] ?? "";
    }
    isBlank = line.trim() === "";
    at = end + 1;
  }
  return { scan: { cut, at, fence, isList, isBlank }, blocks };
}
