// @ts-check
/** One block of a Markdown text: a container or a leaf of the tree that blocks.js builds. */

/**
 * @typedef {"root" | "quote" | "list" | "item" | "note"} Container
 * @typedef {"paragraph" | "heading" | "code" | "indented" | "table" | "rule" | "formula"} Leaf
 *
 * @typedef {object} Block
 * @property {Container | Leaf} kind
 * @property {number} start where its first line begins in the text
 * @property {number} end where it is over; later text does not change it
 * @property {boolean} isOpen
 * @property {Block[]} children
 * @property {number} settled so many of the children are over for good
 * @property {string} text of a leaf, without what belongs to containers
 * @property {number} level of a heading; of a table: its columns
 * @property {number} indent the columns that a container's or a code block's lines lose
 * @property {string} mark of a list: what its items share; of code: its fence; of a formula: its end; a note's label
 * @property {number} number of an ordered list's first item; 0 for a bullet list
 * @property {string} info of a fence
 * @property {readonly string[]} nested of code that is Markdown: the fences that are open in it
 * @property {number} lineStart of a paragraph: where its last line begins; of a formula: where its content begins
 * @property {boolean} isHead of a paragraph: its last line may be the head of a table
 * @property {string} last of a paragraph: its last line
 * @property {string | null} unsure of a paragraph: its end, from the last of the definitions on that it begins with; null
 *   where it begins with none
 * @property {number} missing of a table: the cells that its rows lack
 */

export const LEAVES = new Set(["paragraph", "heading", "code", "indented", "table", "rule", "formula"]);

/** @param {Container | Leaf} kind @param {number} start @param {Partial<Block>} [given] @returns {Block} */
export const block = (kind, start, given) => ({
  kind,
  start,
  end: 0,
  isOpen: true,
  children: [],
  settled: 0,
  text: "",
  level: 0,
  indent: 0,
  mark: "",
  number: 0,
  info: "",
  nested: [],
  lineStart: start,
  isHead: true,
  last: "",
  unsure: null,
  missing: 0,
  ...given,
});

