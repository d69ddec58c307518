// @ts-check
/**
 * A provisional reading of a line of Markdown that is still being written: pure. An open mark is closed where the text
 * ends, and marks that may still become something are held back, so that a reader sees no marks. The gateway's own
 * rendering takes its place when the text is finished; a difference lasts until then.
 */

/**
 * @typedef {string | Element} Node
 *
 * @typedef {object} Element
 * @property {string} tag
 * @property {Record<string, string>} [attributes]
 * @property {Node[]} children
 *
 * @typedef {object} Frame an element that is open
 * @property {string} mark what opened it, "" for the text itself
 * @property {Node[]} children
 */

const PLAIN = /[^\\`*_~[\]!<&$\n]+/y;
const RUN = /([*_~`$])\1*/y;
const ADDRESS = /https?:\/\/[^\s<>"`\u3000-\u303f\uff00-\uffef]+/;
const AUTOLINK = /<((?:https?:\/\/|mailto:)[^\s<>]*)>/y;
const BREAK = /<br ?\/?>/iy;
const PAIRED = /<(su[bp])>([^<\n]*)<\/\1>/iy;
const ENTITY = /&(?:(amp|lt|gt|quot|nbsp)|#(\d{1,7}));/y;
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0" };
const TARGET = /\(((?:[^()\\]|\\.|\([^()]*\))*)\)/y;
const TRAILING = /(?:[*_~`$]+|\\|!?\[[ xX]?|!|&#?\w*|<\/?[a-z]*)$/;
const MAX_TRAILING = 64; // an expression that is looked for at the end takes the square of a run's length
const CLOSING = ".,:;!?'\")*_~]"; // what belongs to the sentence around an address
const TAGS = { "*": "em", "**": "strong", _: "em", __: "strong", "~~": "s" };
const MAX_OPEN = 2000; // what has been open for so many characters is the text that it looks like
const MAX_RUN = 100; // a longer run of one mark is text to the gateway, too
const MAX_DEPTH = 100; // the elements in one another

/** @param {string} tag @param {Node[]} children @param {Record<string, string>} [attributes] @returns {Element} */
export const element = (tag, children, attributes) => ({ tag, children, attributes });

/** @param {RegExp} pattern sticky @param {string} text @param {number} at */
function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Tell whether a code span loses the space at each of its ends. @param {string} code */
const isPadded = (code) => code.startsWith(" ") && code.endsWith(" ") && /[^ ]/.test(code);

/** @param {RegExpExecArray} entity */
const characterOf = ([, name, number]) =>
  name ? NAMED[/** @type {keyof typeof NAMED} */ (name)] : String.fromCodePoint(Math.min(Number(number), 0x10ffff));

/** What begins with `<` or `&`, and what it becomes. @type {[RegExp, (found: RegExpExecArray) => Node][]} */
const SPECIAL = [
  [BREAK, () => element("br", [])],
  [AUTOLINK, ([, address]) => element("a", [address ?? ""])],
  [PAIRED, ([, tag, text]) => element((tag ?? "").toLowerCase(), [text ?? ""])],
  [ENTITY, characterOf],
];

/**
 * @param {string} tex
 * @param {string} source with its signs, once it is closed
 */
export const formula = (tex, source = "") =>
  element("code", [tex], { class: "math", ...(source && { "data-formula": source }) });

/**
 * Read a text.
 * @param {string} text
 * @param {boolean} isOpen more may follow
 * @param {number} [from] read on from here, where nothing was open
 * @returns {{nodes: Node[], settled: number, count: number, closing: string}} more text does not change the first `count`
 *   nodes, which stand for the text up to `settled`; `closing` are the marks that end what is open
 */
export function read(text, isOpen, from = 0) {
  const trailing = isOpen ? (TRAILING.exec(text.slice(-MAX_TRAILING))?.[0].length ?? 0) : 0;
  const held = text.slice(0, text.length - trailing);
  /** The ends that do not come any more. @type {Set<string>} */
  const absent = new Set();
  /** @type {Frame[]} */
  const frames = [{ mark: "", children: [] }];
  const whole = /** @type {Frame} */ (frames[0]);
  let at = from;
  let [settled, count] = [from, 0];
  let openedAt = from;
  let closing = "";

  const top = () => /** @type {Frame} */ (frames.at(-1));

  let plainEnd = 0; // no mark stands before it
  let blankAt = -2;
  /** Return the place of the last blank; -1 where there is none. */
  function lastBlank() {
    if (blankAt === -2) for (blankAt = held.length - 1; blankAt >= 0 && !/\s/.test(held[blankAt] ?? ""); ) blankAt -= 1;
    return blankAt;
  }

  /** @param {Node} node */
  function put(node) {
    const { children } = top();
    const last = children.at(-1);
    if (typeof node === "string" && typeof last === "string") children[children.length - 1] = last + node;
    else if (node !== "") children.push(node);
  }

  /** Take marks for text, from the innermost on. @param {number} depth */
  function flatten(depth) {
    while (frames.length > depth) {
      const { mark, children } = /** @type {Frame} */ (frames.pop());
      put(mark);
      children.forEach(put);
    }
  }

  /** @param {string} mark @param {Record<string, string>} [attributes] */
  function close(mark, attributes) {
    const { children } = /** @type {Frame} */ (frames.pop());
    put(element(/** @type {Record<string, string>} */ (TAGS)[mark] ?? "a", children, attributes));
  }

  /** Read a run of `*`, `_` or `~`. @param {string} run */
  function delimit(run) {
    const [char, before, after] = [run[0] ?? "", held[at - 1] ?? " ", held[at + run.length] ?? " "];
    const isWord = (/** @type {string} */ each) => /[\p{L}\p{N}]/u.test(each);
    const isGlued = (char === "_" && isWord(before) && isWord(after)) || (/\d/.test(before) && /\d/.test(after));
    let left = (char === "~" && run.length !== 2) || run.length >= MAX_RUN ? 0 : run.length;
    let rest = run.length - left;
    while (left > 0) {
      const depth = frames.findLastIndex((each) => each.mark.startsWith(char) && each.mark.length <= left);
      const size = char === "~" ? 2 : left >= 2 ? 2 : 1;
      if (depth > 0 && !/\s/.test(before) && !isGlued) {
        const { mark } = /** @type {Frame} */ (frames[depth]);
        flatten(depth + 1);
        close(mark);
        left -= mark.length;
      } else if (/\s/.test(after) || isGlued || size > left || frames.length > MAX_DEPTH) {
        rest += left;
        left = 0;
      } else {
        if (frames.length === 1) openedAt = at;
        frames.push({ mark: char.repeat(size), children: [] });
        left -= size;
      }
    }
    put(char.repeat(rest));
    at += run.length;
  }

  /** Read from `open` to the next `close`, as it is. @param {string} open @param {string} close */
  function verbatim(open, close) {
    const begin = at + open.length;
    let end = absent.has(close) ? -1 : held.indexOf(close, begin);
    while (close[0] === "`" && end >= 0 && held[end + close.length] === "`") {
      while (held[end] === "`") end += 1;
      end = held.indexOf(close, end);
    }
    if (end < 0) absent.add(close);
    if (end < 0 && !isOpen) return null;
    at = end < 0 ? held.length : end + close.length;
    return { text: held.slice(begin, end < 0 ? undefined : end), isClosed: end >= 0 };
  }

  /** Read a code span or a formula. @param {string} run */
  function code(run) {
    const isCode = run[0] === "`" && run.length < MAX_RUN;
    const next = held[at + run.length] ?? " ";
    const before = held[at - 1] ?? " ";
    const mayBegin = isCode || run.length === 2 || (run.length === 1 && /[\p{L}\\{(|]/u.test(next) && !/\w/.test(before));
    const isLikely = isCode || run.length === 2 || /[$\\^_{]/.test(held.slice(at + 1));
    const begin = at;
    const found = mayBegin && isLikely ? verbatim(run, run) : null;
    if (!found || (!isCode && run.length === 1 && found.isClosed && (/\s$/.test(found.text) || /\d/.test(held[at] ?? "")))) {
      at = begin + run.length;
      put(run);
      return true;
    }
    if (isCode && !found.isClosed && found.text.trim()) closing = run;
    const shown = found.text.replace(/\n/g, " ");
    const source = found.isClosed ? held.slice(begin, at) : "";
    put(isCode ? element("code", [isPadded(shown) ? shown.slice(1, -1) : shown]) : formula(found.text.trim(), source));
    return found.isClosed;
  }

  /** Read the end of a link or an image. */
  function bracket() {
    const depth = frames.findLastIndex((each) => each.mark.endsWith("["));
    const target = depth > 0 && held[at + 1] === "(" ? match(TARGET, held, at + 1) : null;
    at += 1;
    if (depth > 0 && (target || (isOpen && held[at] === "("))) {
      const { mark } = /** @type {Frame} */ (frames[depth]);
      flatten(depth + 1);
      close(mark, mark === "![" ? { class: "remote-image" } : {});
      at = target ? TARGET.lastIndex : held.length;
      return target !== null;
    }
    if (depth > 0) {
      flatten(depth);
    }
    put("]");
    return true;
  }

  /**
   * Read an address in brackets, an element that is honoured, or an entity.
   * @param {string} char
   * @returns {number} where it ends
   */
  function special(char) {
    for (const [pattern, node] of SPECIAL) {
      const found = match(pattern, held, at);
      if (!found) continue;
      put(node(found));
      return pattern.lastIndex;
    }
    put(char);
    return at + 1;
  }

  while (at < held.length) {
    const char = held[at] ?? "";
    let isWhole = true; // what has been read now does not change
    if (at >= plainEnd && match(PLAIN, held, at)) plainEnd = PLAIN.lastIndex;
    const plain = at < plainEnd ? held.slice(at, plainEnd) : "";
    const run = match(RUN, held, at);
    if (plain) {
      const address = ADDRESS.exec(plain);
      if (address) {
        put(plain.slice(0, address.index));
        const [found] = /** @type {RegExpExecArray} */ (ADDRESS.exec(held.slice(at + address.index)));
        let end = found.length;
        while (CLOSING.includes(found[end - 1] ?? " ")) end -= 1;
        const url = found.slice(0, end);
        put(element("a", [url]));
        at += address.index + url.length;
        isWhole = at <= lastBlank(); // an address goes on to a space at most
      } else {
        put(plain);
        at = plainEnd;
      }
    } else if (run && (char === "`" || char === "$")) {
      isWhole = code(run[0]);
    } else if (run) {
      delimit(run[0]);
    } else if (char === "\\" && (held[at + 1] === "(" || held[at + 1] === "[")) {
      const begin = at;
      const found = verbatim(held.slice(at, at + 2), held[at + 1] === "(" ? "\\)" : "\\]");
      if (found) put(formula(found.text.trim(), found.isClosed ? held.slice(begin, at) : ""));
      else at += put("\\") ?? 1;
      isWhole = found?.isClosed ?? true;
    } else if (char === "\\") {
      const next = held[at + 1] ?? "";
      put(next === "\n" ? element("br", []) : /[!-/:-@[-`{-~]/.test(next) ? next : `\\${next}`);
      at += 2;
    } else if (char === "\n") {
      put(element("br", []));
      at += 1;
    } else if (char === "[" || held.startsWith("![", at)) {
      const mark = char === "[" ? "[" : "![";
      if (frames.length === 1) openedAt = at;
      if (frames.length > MAX_DEPTH) put(mark);
      else frames.push({ mark, children: [] });
      at += mark.length;
    } else if (char === "]") {
      isWhole = bracket();
    } else {
      at = special(char);
    }
    if (frames.length > 1 && at - openedAt > MAX_OPEN) flatten(1);
    const isElement = typeof whole.children.at(-1) === "object"; // a text goes on with the next
    if (isWhole && isElement && frames.length === 1 && at < held.length) [settled, count] = [at, whole.children.length];
  }
  if (isOpen) {
    while (frames.length > 1) {
      const { mark, children } = top();
      if (mark.endsWith("[")) flatten(frames.length - 1);
      else if (children.length) {
        closing += mark;
        close(mark);
      } else frames.pop();
    }
  } else flatten(1);
  return { nodes: whole.children, settled, count, closing };
}

/**
 * End a text that was cut in the middle: what is open is closed, and a last mark that opens nothing is left out.
 * @param {string} text
 * @param {string} [inner] its last part, which is read on its own
 */
export function ended(text, inner = text) {
  const { closing } = read(inner, true);
  const said = /\s$/.test(inner) ? text : text.trimEnd();
  const left = said.replace(/(?:[*_`]+|~~)$/, "");
  return closing ? left.trimEnd() + closing : left;
}
