// @ts-check
/**
 * Link reference definitions at the beginning of a paragraph, and the labels that a text uses: pure. A definition may
 * come later than its uses, and is looked for wherever a paragraph begins.
 * Source: CommonMark 0.31, 4.7; markdown-it refuses some addresses.
 */

const LABEL = String.raw`\[((?:[^[\]\\]|\\[^])+)\]:`;
const TARGET = String.raw`[ \t]*\n?[ \t]*(<(?:[^<>\n\\]|\\.)*>|[^\s<]\S*)`;
const TITLE = String.raw`(?:"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\((?:[^()\\]|\\[^])*\))`;
const END = String.raw`[ \t]*(?:\n|$)`;
const DEFINITION = new RegExp(`${LABEL}${TARGET}(?:(?:[ \\t]+|[ \\t]*\\n[ \\t]*)${TITLE}${END}|${END})`, "y");
const REFUSED = /^<?(?:vbscript|javascript|file|data(?!:image\/(?:gif|png|jpeg|webp);)):/i;
const USED = /\[((?:[^[\]\\]|\\[^])+)\]/g;

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
 * @returns {{defined: {label: string, text: string}[], rest: string}}
 */
export function definitionsOf(text) {
  const defined = [];
  let at = 0;
  while (text[at] === "[") {
    DEFINITION.lastIndex = at;
    const found = DEFINITION.exec(text);
    const label = normalized(found?.[1] ?? "");
    if (!found || !label || label.startsWith("^") || !isAddress(found[2] ?? "")) break;
    defined.push({ label, text: found[0].trimEnd() });
    at = DEFINITION.lastIndex;
  }
  return { defined, rest: text.slice(at) };
}

/** Tell whether a paragraph is definitions alone, which show nothing. @param {string} text */
export const isDefinitions = (text) => text.startsWith("[") && definitionsOf(text).rest === "";

/** Tell whether a line may belong to a definition in the line above. @param {string} rest */
export const mayBeTitle = (rest) => /^["'(]/.test(rest);

/**
 * @param {string} text
 * @returns {Set<string>} the labels of all brackets in it
 */
export function labelsIn(text) {
  const labels = new Set();
  if (text.includes("[")) for (const [, label] of text.matchAll(USED)) labels.add(normalized(label ?? ""));
  return labels;
}
