// @ts-check
/**
 * Cuts a Markdown text that is still being written into units that later text will not change: pure. A unit is a
 * top-level block, or one item of a top-level list. The cut is a function of the text alone, whatever pieces it came in,
 * and the renderings of a text's units, one after another, are the rendering of the text.
 */

import { createBlocks } from "./blocks.js";
import { definitionsOf, labelsIn } from "./definitions.js";
import { ended } from "./inline.js";
import { cellsOf } from "./lines.js";

/**
 * @typedef {import("./block.js").Block} Block
 *
 * @typedef {object} Unit
 * @property {number} start
 * @property {number} end
 * @property {number} index of its block in the text
 * @property {number} item its index in its list; -1 for what is no list item
 * @property {Block} block
 * @property {Block} [cut] the leaf in which an answer was cut in the middle
 */

const LINE_END = /\r\n?|\n/g;
/** A line's beginning that may still become the mark of a block: it is not shown for the moment. */
const UNDECIDED = new RegExp(
  `^[ \\t>]*(?:${[
    /=*|[-+*]+|(?:[-*_][ \t]*)+|\d{1,9}[.)]?/, // an underline, a rule, an item
    /#{1,6}|`{1,2}|`{3,}[^`]*|~+|~{3,}.*/, // a heading, a fence
    /\${1,2}|\\(?:\[|b[a-z]*\{?[a-zA-Z]*\*?)?/, // a formula
    /\|?[-:| \t]*|\[[^\]]{0,80}\]?/, // a table's second line, a definition
  ]
    .map((each) => each.source)
    .join("|")})$`,
);
const MAX_UNDECIDED = 500; // to see that blanks are no mark takes the square of their number

/**
 * Tell whether a line that is not whole may still become something else than what it looks like.
 * @param {string} rest of the text
 * @param {Block | undefined} leaf that is open
 */
function isUndecided(rest, leaf) {
  if (leaf?.kind === "code") return rest === "" || (/^[ \t>]*(?:`+|~+)$/.test(rest) && rest.trimStart()[0] === leaf.mark[0]);
  return rest.length <= MAX_UNDECIDED && UNDECIDED.test(rest);
}

/** A line's beginning that has no words yet: where nothing follows, it shows nothing. */
const MARKS = /^[^\p{L}\p{N}\n]+$/u;

export function createUnits() {
  const blocks = createBlocks();
  const { root } = blocks;
  let text = "";
  let at = 0; // the start of the first line that is not whole
  let seen = 0; // no line ends between `at` and here
  let index = 0; // the first block, and its first item, that have not been given out
  let item = 0;
  let isOver = false;

  /** Give out what has been finished. @returns {Unit[]} */
  function taken() {
    /** @type {Unit[]} */
    const units = [];
    if (blocks.isInDoubt()) return units;
    for (; index < root.children.length; index += 1, item = 0) {
      const block = /** @type {Block} */ (root.children[index]);
      for (; block.kind === "list" && item < block.children.length; item += 1) {
        const each = /** @type {Block} */ (block.children[item]);
        if (each.isOpen) return units;
        units.push({ start: each.start, end: each.end, index, item, block: each });
      }
      if (block.isOpen) return units;
      if (block.kind !== "list") units.push({ start: block.start, end: block.end, index, item: -1, block });
    }
    return units;
  }

  return {
    root,
    /**
     * Look at what has been added.
     * @param {string} whole the whole text so far; it only ever grows
     * @returns {Unit[]} the units that are finished now
     */
    feed(whole) {
      text = whole;
      LINE_END.lastIndex = seen;
      for (let found; (found = LINE_END.exec(text)); ) {
        const end = LINE_END.lastIndex;
        if (found[0] === "\r" && end === text.length) break; // half of a line end, maybe
        blocks.line(text.slice(at, found.index), at, end);
        at = end;
      }
      seen = text.endsWith("\r") ? text.length - 1 : text.length;
      return taken();
    },
    /** Take the last line for a whole one, for a look at it; the function that is returned takes that back. */
    glance() {
      const rest = text.slice(at);
      return isUndecided(rest, blocks.tip()) ? () => {} : blocks.glance(rest, at);
    },
    /**
     * Nothing more will come.
     * @param {boolean} [isCut] though the text is not whole: marks that open nothing are no text then
     * @returns {Unit[]} the last units
     */
    finish(isCut = false) {
      if (isOver) return [];
      isOver = true;
      const rest = text.slice(at);
      const isLeftOut = isCut && MARKS.test(rest) && isUndecided(rest, blocks.tip());
      const end = isLeftOut ? at : text.length;
      if (at < end) blocks.line(rest.replace(/\r$/, ""), at, end);
      blocks.finish(end);
      const units = taken();
      const last = units.at(-1);
      const leaf = innermost(last?.block);
      if (isCut && last && leaf?.end === end) last.cut = leaf;
      return units;
    },
  };
}

/** @typedef {ReturnType<typeof createUnits>} Units */

/** @param {Block | undefined} block @returns {Block | undefined} its last leaf */
const innermost = (block) => (block?.children.length ? innermost(block.children.at(-1)) : block);

/**
 * Return a unit's text as the gateway is to render it: what was open where an answer was cut is closed, so that the
 * reader sees no marks, as before the cut.
 * @param {Unit} unit
 * @param {string} text the unit's own
 */
export function wholeOf({ cut, block }, text) {
  if (!cut) return text;
  if (cut.kind === "table") {
    const row = cut.text.slice(cut.text.lastIndexOf("\n") + 1);
    return row.trimEnd().endsWith("|") ? text : ended(text, cellsOf(row).at(-1) ?? "");
  }
  if (cut.kind === "paragraph" && cut === block && /^\|[^\n]*$/.test(cut.text)) {
    return `${text.trimEnd()}\n${"|---".repeat(cellsOf(cut.text).length)}|`; // it was shown as a table's head
  }
  return cut.kind === "paragraph" || cut.kind === "heading" ? ended(text, cut.text) : text;
}

/**
 * Tell what a unit defines for the whole text, and what it uses that may be defined elsewhere.
 * @param {Unit} unit
 * @param {string} text the unit's own
 */
export function namesOf({ block }, text) {
  /** @type {{label: string, text: string}[]} */
  const defined = [];
  if (text.includes("]:")) collect(block, text, defined);
  return { defined, used: labelsIn(text) };
}

/**
 * @param {Block} block
 * @param {string} text
 * @param {{label: string, text: string}[]} defined
 */
function collect(block, text, defined) {
  if (block.kind === "paragraph" && block.text.startsWith("[")) for (const each of definitionsOf(block.text).defined) defined.push(each);
  if (block.kind === "note") defined.push({ label: `^${block.mark}`.toUpperCase(), text });
  for (const each of block.children) collect(each, text, defined);
}
