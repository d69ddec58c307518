// @ts-check
/**
 * Display formulas as lines of their own: `$$ … $$`, `\[ … \]`, `\begin{align} … \end{align}`. The closing sign ends its
 * line; a formula is not empty and holds no blank line. A line that turns out to be none is text.
 * Source: the gateway's own rule (web/pages/formulas.py).
 */

const ENVIRONMENTS =
  "align|aligned|alignat|alignedat|array|cases|dcases|eqnarray|equation|flalign|gather|gathered|matrix|bmatrix|" +
  "Bmatrix|pmatrix|vmatrix|Vmatrix|smallmatrix|multline|split";
const BEGIN = new RegExp(String.raw`^(?:\$\$|\\\[|\\begin\{((?:${ENVIRONMENTS})\*?)\})`);
/** The characters of a formula; a longer one is text. */
export const MAX_FORMULA = 4000;

/**
 * Read a line that may begin a formula.
 * @param {string} rest
 * @returns {{begin: string, end: string, isWhole: boolean} | null} what ends it, and whether its own line does
 */
export function formulaOf(rest) {
  const found = BEGIN.exec(rest);
  if (!found) return null;
  const [begin, environment] = found;
  const end = environment ? `\\end{${environment}}` : begin === "$$" ? "$$" : "\\]";
  const ending = endingOf(end, "", rest.slice(begin.length));
  return ending === "none" ? null : { begin, end, isWhole: ending === "here" };
}

/**
 * Tell what a line makes of an open formula.
 * @param {string} end the closing sign
 * @param {string} content of the lines before
 * @param {string} rest
 * @returns {"here" | "later" | "none"} where it ends; none: it is no formula
 */
export function endingOf(end, content, rest) {
  const at = rest.indexOf(end);
  if (at < 0) return "later";
  const isLast = rest.slice(at + end.length).trim() === "";
  return isLast && (content + rest.slice(0, at)).trim() !== "" ? "here" : "none";
}
