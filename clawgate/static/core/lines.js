// @ts-check
/**
 * The beginnings and ends that one line of Markdown can make: recognisers of markdown-it's block rules, pure and without
 * memory. Only spaces and tabs count as blank.
 * Source: CommonMark 0.31; GitHub's tables; markdown-it-py, whose blocks blocks.js has to find.
 */

const PREFIX = /^[ \t>*+\-\d.)]*/;
const TAB_STOP = 4;
const MAX_COLUMNS = 200; // as many signs between columns as the gateway takes for a table

/**
 * Write the tabs before a line's text as spaces.
 * @param {string} line
 */
export function detabbed(line) {
  const prefix = /** @type {RegExpExecArray} */ (PREFIX.exec(line))[0];
  if (!prefix.includes("\t")) return line;
  let spaced = "";
  for (const char of prefix) spaced += char === "\t" ? " ".repeat(TAB_STOP - (spaced.length % TAB_STOP)) : char;
  return spaced + line.slice(prefix.length);
}

/**
 * @param {string} line without tabs before its text
 * @param {number} at
 * @returns {{indent: number, rest: string, isBlank: boolean}} what follows from there on
 */
export function look(line, at) {
  let begin = at;
  while (line[begin] === " ") begin += 1;
  const rest = line.slice(begin);
  return { indent: begin - at, rest, isBlank: rest === "" };
}

/** A code block's first line. @param {string} rest */
export function fenceOf(rest) {
  const found = /^(?:(`{3,})([^`]*)|(~{3,})(.*))$/.exec(rest);
  if (!found) return null;
  const info = (found[2] ?? found[4] ?? "").trim();
  return { fence: found[1] ?? found[3] ?? "", info };
}

/** @param {string} fence that is open @param {string} rest */
export const isFenceEnd = (fence, rest) =>
  rest.startsWith(fence) && new RegExp(`^\\${fence[0]}+[ \\t]*$`).test(rest);

const MAX_NESTED = 20; // as many as the gateway counts
const DOCUMENT = /^(?:markdown|mdx?)(?:\s|$)/i;

/**
 * Read a line of a code block whose language is Markdown: a fence with a language opens a block in it, the next bare one
 * closes that. Models write whole documents so.
 * @param {import("./block.js").Block} code
 * @param {string} rest
 * @returns {readonly string[]} the fences that are open in it
 */
export function nestedIn({ info, mark, nested }, rest) {
  if (!DOCUMENT.test(info)) return nested;
  const last = nested.at(-1);
  if (last && isFenceEnd(last, rest)) return nested.slice(0, -1);
  const found = fenceOf(rest);
  return found?.info && found.fence.startsWith(mark) && nested.length < MAX_NESTED ? [...nested, found.fence] : nested;
}

/** @param {string} rest */
export function headingOf(rest) {
  const found = /^(#{1,6})(?:[ \t]|$)/.exec(rest);
  if (!found) return null;
  const level = found[1]?.length ?? 1;
  return { level, text: rest.slice(level).trim().replace(/(?:^|[ \t])#+$/, "").trim() };
}

/** @param {string} rest */
export const isRule = (rest) => /^(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/.test(rest);

/** The level of the heading that a line makes of the paragraph above it; 0 for none. @param {string} rest */
export const underline = (rest) => (/^=+[ \t]*$/.test(rest) ? 1 : /^-+[ \t]*$/.test(rest) ? 2 : 0);

/**
 * @typedef {object} Marker of a list item
 * @property {boolean} isOrdered
 * @property {string} type the character that all items of a list share
 * @property {number} number
 * @property {number} width the columns from the marker to the item's content
 * @property {boolean} isEmpty nothing follows it on its line
 */

/** @param {string} rest @returns {Marker | null} */
export function markerOf(rest) {
  const found = /^(?:[-+*]|(\d{1,9})[.)])(?=( *)(.?))(?:[ \t]|$)/.exec(rest);
  if (!found) return null;
  const marker = found[0].trimEnd();
  const spaces = found[2]?.length ?? 0;
  const isEmpty = /^[ \t]*$/.test(rest.slice(marker.length));
  return {
    isOrdered: found[1] !== undefined,
    type: marker.slice(-1),
    number: Number(found[1] ?? 1),
    width: marker.length + (isEmpty || spaces > TAB_STOP || spaces === 0 ? 1 : spaces),
    isEmpty,
  };
}

/**
 * Cut a table's row into its cells.
 * @param {string} row
 * @returns {string[]}
 */
export function cellsOf(row) {
  const cells = row.trim().split(/(?<!\\)\|/).map((each) => each.replaceAll("\\|", "|"));
  if (cells[0] === "") cells.shift();
  if (cells.at(-1) === "") cells.pop();
  return cells.map((each) => each.trim());
}

/**
 * Read the line under a table's head.
 * @param {string} rest
 * @returns {string[] | null} each column's alignment, "" for none
 */
export function alignmentsOf(rest) {
  if (!/^[-:|][-:|\s]+$/.test(rest) || /^-\s/.test(rest)) return null;
  const columns = rest.split("|").map((each) => each.trim());
  if (columns.length > MAX_COLUMNS + 1) return null;
  if (columns[0] === "") columns.shift();
  if (columns.at(-1) === "") columns.pop();
  if (!columns.length || !columns.every((each) => /^:?-+:?$/.test(each))) return null;
  return columns.map((each) => (!each.endsWith(":") ? (each.startsWith(":") ? "left" : "") : each.startsWith(":") ? "center" : "right"));
}

/**
 * Tell whether a line is the head of a table whose second line has these columns.
 * @param {string} head
 * @param {string[]} alignments
 */
export const isTableHead = (head, alignments) => head.includes("|") && cellsOf(head).length === alignments.length;
