// @ts-check
/**
 * Cuts a Markdown text that is still being written into units that later text will not change: pure. A unit is a
 * top-level block, or one item of a top-level list. The cut is a function of the text alone, whatever pieces it came in,
 * and the renderings of a text's units, one after another, are the rendering of the text.
 */

import { createBlocks } from "./blocks.js";
import { definitionsOf, labelsIn } from "./definitions.js";

/**
 * @typedef {import("./block.js").Block} Block
 *
 * @typedef {object} Unit
 * @property {number} start
 * @property {number} end
 * @property {number} index of its block in the text
 * @property {number} item its index in its list; -1 for what is no list item
 * @property {Block} block
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

/**
 * Tell whether a line that is not whole may still become something else than what it looks like.
 * @param {string} rest of the text
 * @param {Block | undefined} leaf that is open
 */
function isUndecided(rest, leaf) {
  if (leaf?.kind === "code") return rest === "" || (/^[ \t>]*(?:`+|~+)$/.test(rest) && rest.trimStart()[0] === leaf.mark[0]);
  return UNDECIDED.test(rest);
}

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
    /** Nothing more will come. @returns {Unit[]} the last units */
    finish() {
      if (isOver) return [];
      isOver = true;
      if (at < text.length) blocks.line(text.slice(at).replace(/\r$/, ""), at, text.length);
      blocks.finish(text.length);
      return taken();
    },
  };
}

/** @typedef {ReturnType<typeof createUnits>} Units */

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
  if (block.kind === "paragraph" && block.text.startsWith("[")) defined.push(...definitionsOf(block.text).defined);
  if (block.kind === "note") defined.push({ label: `^${block.mark}`.toUpperCase(), text });
  for (const each of block.children) collect(each, text, defined);
}
