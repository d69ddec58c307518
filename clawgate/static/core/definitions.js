// @ts-check
/**
 * Link reference definitions at the beginning of a paragraph, and the labels that a text uses: pure. A definition may
 * come later than its uses, and is looked for wherever a paragraph begins. A label or a title has at most 999 characters:
 * one that does not end would be read anew with each line.
 * Source: CommonMark 0.31, 4.7; markdown-it refuses some addresses.
 */

const LABEL = String.raw`\[((?:[^[\]\\]|\\[^]){1,999})\]:`;
const TARGET = String.raw`[ \t]*\n?[ \t]*(<(?:[^<>\n\\]|\\.)*>|[^\s<]\S*)`;
const TITLE = String.raw`(?:"(?:[^"\\]|\\[^]){0,999}"|'(?:[^'\\]|\\[^]){0,999}'|\((?:[^()\\]|\\[^]){0,999}\))`;
const END = String.raw`[ \t]*(?:\n|$)`;
const DEFINITION = new RegExp(`${LABEL}${TARGET}(?:(?:[ \\t]+|[ \\t]*\\n[ \\t]*)${TITLE}${END}|${END})`, "y");
/** A paragraph that begins with more characters which are no definition yet will have none. */
export const MAX_DEFINITION = 4096;
const REFUSED = /^<?(?:vbscript|javascript|file|data(?!:image\/(?:gif|png|jpeg|webp);)):/i;
/** Without the escapes apart, each of many `\\[` would be read to the text's end. */
const USED = /\\[^]|\[((?:[^[\]\\]|\\[^])+)\]/g;

/** Tell whether the brackets of an address are in pairs. @param {string} target */
function isBalanced(target) {
  let depth = 0;
  for (const [bracket] of target.replace(/\\./g, "").matchAll(/[()]/g)) {
    depth += bracket === "(" ? 1 : -1;
    if (depth < 0 || depth > 32) return false;
  }
  return depth === 0;
}

/** @param {string} target */
const isAddress = (target) => !REFUSED.test(target) && (target.startsWith("<") || isBalanced(target));

/** @param {string} label */
const normalized = (label) => label.trim().replace(/\s+/g, " ").toLowerCase().toUpperCase();

/**
 * Cut the definitions off the beginning of a paragraph.
 * @param {string} text
 * @returns {{defined: {label: string, text: string, start: number}[], rest: string}}
 */
export function definitionsOf(text) {
  const defined = [];
  let at = 0;
  while (text[at] === "[") {
    DEFINITION.lastIndex = at;
    const found = DEFINITION.exec(text);
    const label = normalized(found?.[1] ?? "");
    if (!found || !label || label.startsWith("^") || !isAddress(found[2] ?? "")) break;
    defined.push({ label, text: found[0].trimEnd(), start: at });
    at = DEFINITION.lastIndex;
  }
  return { defined, rest: text.slice(at) };
}

/** Tell whether a paragraph is definitions alone, which show nothing. @param {string} text */
export const isDefinitions = (text) => text.startsWith("[") && definitionsOf(text).rest === "";

/** Cut off the definitions before the last one, which more lines do not change. @param {string} text definitions alone */
export function lastDefinition(text) {
  const { defined } = definitionsOf(text);
  return text.slice(defined.at(-1)?.start);
}

/** Tell whether a line may belong to a definition in the line above. @param {string} rest */
export const mayBeTitle = (rest) => /^["'(]/.test(rest);

/**
 * @param {string} text
 * @returns {Set<string>} the labels of all brackets in it
 */
export function labelsIn(text) {
  const labels = new Set();
  for (const [, label] of text.includes("[") ? text.matchAll(USED) : []) if (label) labels.add(normalized(label));
  return labels;
}
