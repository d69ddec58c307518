// @ts-check
/**
 * The blocks of a Markdown text that is still being written, found line by line: pure. The result is a tree of
 * containers and leaves; the open ones lie on one path, as in CommonMark's own algorithm. units.js cuts the text by it,
 * parts/draft.js shows it. A display formula is no formula unless it is closed, so the state before it is kept until then.
 */

import { LEAVES, block } from "./block.js";
import { MAX_DEFINITION, isDefinitions, lastDefinition, mayBeTitle } from "./definitions.js";
import { MAX_FORMULA, endingOf, formulaOf } from "./formulas.js";
import { alignmentsOf, cellsOf, detabbed, fenceOf, headingOf, isFenceEnd, isRule, isTableHead, look, markerOf, nestedIn, underline } from "./lines.js";

/** @typedef {import("./block.js").Block} Block */

/** The blocks in one another, as many as the gateway takes; what lies deeper is text. A browser's tree has its limits. */
const MAX_DEPTH = 98;
/** The cells of a table that its rows lack, as many as the gateway adds. */
const MAX_MISSING = 1 << 16;
const MAY_BE_FORMULA = /\$\$|\\\[|\\begin\{/;
const NOTE = /^\[\^([^\s[\]^]{1,80})\]:[ \t]*/;

export function createBlocks() {
  const root = block("root", 0);
  /** The open containers and, at its end, the open leaf. */
  let path = [root];
  /**
   * The formula that may turn out to be none; alike: the lines in it that would begin one with the same end.
   * @type {{back: () => void, lines: [string, number, number][], start: number, alike: number[]} | null}
   */
  let doubt = null;
  /** Brings back the state before the line that is being read, where it may begin a formula. */
  let before = () => {};
  /** Where there is no formula, whatever begins there. @type {Set<number>} */
  const refuted = new Set();

  /** Remember the state; the function that is returned brings it back. */
  function mark() {
    const kept = [...path];
    const copies = kept.map((each) => ({ ...each }));
    const counts = kept.map((each) => each.children.length);
    return () => {
      kept.forEach((each, index) => {
        Object.assign(each, copies[index]);
        each.children.length = counts[index] ?? 0;
      });
      path = [...kept];
    };
  }

  /** @param {number} depth @param {number} end */
  function close(depth, end) {
    for (const each of path.slice(depth)) {
      each.isOpen = false;
      each.end = end;
    }
    path.length = Math.max(depth, 1);
  }

  /** @param {number} depth @param {Block} added */
  function add(depth, added) {
    close(depth, added.start);
    if (path.at(-1)?.kind === "list" && added.kind !== "item") close(path.length - 1, added.start);
    path.at(-1)?.children.push(added);
    path.push(added);
    return path.length;
  }

  /**
   * Go down the open containers that a line belongs to.
   * @param {string} line
   * @returns {{at: number, depth: number}} the column after their marks, the depth of the first that it is not in
   */
  function descend(line) {
    let at = 0;
    let depth = 1;
    for (; depth < path.length; depth += 1) {
      const each = /** @type {Block} */ (path[depth]);
      const { indent, rest, isBlank } = look(line, at);
      if (each.kind === "quote") {
        if (!rest.startsWith(">")) break; // however far it is indented: so does markdown-it
        at += indent + (rest[1] === " " ? 2 : 1);
      } else if (each.kind === "item" || each.kind === "note") {
        if (isBlank ? each.kind === "item" && !each.children.length : indent < each.indent) break;
        at += Math.min(indent, each.indent);
      } else if (each.kind !== "list") break;
    }
    return { at, depth };
  }

  /**
   * Give a line to the open code block or formula that it is in.
   * @param {Block | null} leaf
   * @param {string} raw
   * @param {string} line
   * @param {number} at
   * @param {number} start @param {number} end
   * @returns {boolean} whether it was
   */
  function absorb(leaf, raw, line, at, start, end) {
    const { indent, rest, isBlank } = look(line, at);
    const from = at === 0 ? raw : line.slice(at);
    if (leaf?.kind === "code") {
      if (indent < 4 && !leaf.nested.length && isFenceEnd(leaf.mark, rest)) close(path.length - 1, end);
      else leaf.text += `${from.slice(Math.min(indent, leaf.indent))}\n`;
      if (indent < 4) leaf.nested = nestedIn(leaf, rest);
    } else if (leaf?.kind === "indented" && (isBlank || indent >= 4)) {
      leaf.text += `${line.slice(at + Math.min(indent, 4))}\n`;
    } else if (leaf?.kind === "formula" && !isBlank) {
      const ending = endingOf(leaf.mark, leaf.text.slice(leaf.info.length), rest);
      if (ending === "later" && !leaf.indent && formulaOf(rest)?.end === leaf.mark) doubt?.alike.push(start);
      const isTooLong = start + raw.length - leaf.lineStart > MAX_FORMULA;
      leaf.text += `${rest}\n`;
      if (ending === "none" || isTooLong || indent < leaf.indent) close(path.length - 1, start);
      else if (ending === "here") close(path.length - 1, end);
    } else return false;
    return true;
  }

  /** Tell whether a footnote may begin here: it ends no table, and no quote whose paragraph may go on. @param {number} depth */
  const mayBeNote = (depth) =>
    path[depth]?.kind !== "table" &&
    !(path.at(-1)?.kind === "paragraph" && path.slice(depth).some((each) => each.kind === "quote"));

  /**
   * Begin the block that a line begins within a container.
   * @param {number} depth of the new block
   * @param {string} raw @param {string} rest @param {number} indent @param {number} start @param {number} end
   * @param {Block | null} paragraph that the line would otherwise go on with
   * @returns {number} the columns that are used up; 0 for none, -1 for all
   */
  function begin(depth, raw, rest, indent, start, end, paragraph) {
    const formula = refuted.has(start) ? null : formulaOf(rest);
    if (formula) {
      const isLazy = path.at(-1)?.kind === "paragraph" && ["item", "note"].includes(path[depth]?.kind ?? "");
      const lineStart = start + raw.length - rest.length + formula.begin.length;
      const known = { mark: formula.end, info: formula.begin, lineStart, indent: isLazy ? indent : 0 };
      add(depth, block("formula", start, { text: `${rest}\n`, ...known }));
      if (formula.isWhole) close(path.length - 1, end);
      else doubt = doubt ?? { back: before, lines: [], start, alike: [] };
      return -1;
    }
    const fence = fenceOf(rest);
    if (fence) {
      add(depth, block("code", start, { indent, mark: fence.fence, info: fence.info }));
      return -1;
    }
    const isDeep = depth >= MAX_DEPTH;
    if (rest.startsWith(">") && !isDeep) {
      add(depth, block("quote", start));
      return indent + (rest[1] === " " ? 2 : 1);
    }
    if (isRule(rest)) {
      close(add(depth, block("rule", start)) - 1, end);
      return -1;
    }
    const marker = markerOf(rest);
    if (marker && !isDeep && !(paragraph && (marker.isEmpty || marker.number !== 1))) {
      let list = path[depth - 1];
      if (list?.kind !== "list" || list.mark !== marker.type) {
        const number = marker.isOrdered ? marker.number : 0;
        list = block("list", start, { mark: marker.type, number, level: marker.isOrdered ? 1 : 0 });
        depth = add(depth, list);
      }
      add(depth, block("item", start, { indent: indent + marker.width }));
      return marker.isEmpty ? -1 : indent + marker.width;
    }
    const note = NOTE.exec(rest);
    if (note && !isDeep && mayBeNote(depth)) {
      add(depth, block("note", start, { indent: 4, mark: note[1] ?? "" }));
      return indent + note[0].length;
    }
    const heading = headingOf(rest);
    if (heading) {
      close(add(depth, block("heading", start, heading)) - 1, end);
      return -1;
    }
    return 0;
  }

  /**
   * Take a line for what it makes of the paragraph above it.
   * @param {Block} paragraph
   * @param {string} rest @param {number} start @param {number} end
   * @returns {boolean} whether it made a table or a heading of it
   */
  function transform(paragraph, rest, start, end) {
    const alignments = paragraph.isHead ? alignmentsOf(rest) : null;
    const head = paragraph.last;
    if (alignments && isTableHead(head, alignments)) {
      if (head.length === paragraph.text.length) paragraph.kind = "table";
      else {
        paragraph.text = paragraph.text.slice(0, -head.length - 1);
        add(path.length - 1, block("table", paragraph.lineStart));
      }
      const table = /** @type {Block} */ (path.at(-1));
      table.text = `${head}\n${rest}`;
      table.level = alignments.length;
      return true;
    }
    const level = underline(rest);
    if (level && !isDefinitions(paragraph.text) && !isDefinitions(`${paragraph.text}\n${rest}`)) {
      Object.assign(paragraph, { kind: "heading", level });
      close(path.length - 1, end);
      return true;
    }
    return false;
  }

  /**
   * Tell whether a paragraph is definitions that a line does not go on with. Only the last of them may change yet.
   * @param {Block} leaf @param {string} rest @param {boolean} isLazy
   */
  function isDefined(leaf, rest, isLazy) {
    if (leaf.kind !== "paragraph" || leaf.unsure === null || !isDefinitions(leaf.unsure)) return false;
    leaf.unsure = lastDefinition(leaf.unsure);
    return (isLazy || !mayBeTitle(rest)) && !isDefinitions(`${leaf.unsure}\n${rest}`);
  }

  /**
   * @param {string} raw a line without its end
   * @param {number} start where it begins in the text
   * @param {number} end where the next one begins
   */
  function line(raw, start, end) {
    const spaced = detabbed(raw);
    if (MAY_BE_FORMULA.test(raw)) before = mark();
    let { at, depth } = descend(spaced);
    const tip = /** @type {Block} */ (path.at(-1));
    const isInside = depth === path.length || LEAVES.has(path[depth]?.kind ?? "");
    const leaf = isInside && depth < path.length ? tip : null;
    if (absorb(leaf, raw, spaced, at, start, end)) return;
    let paragraph = leaf?.kind === "paragraph" ? leaf : null;
    let isNew = false;
    let { indent, rest, isBlank } = look(spaced, at);
    if (isBlank) {
      close(tip.kind === "list" ? path.length - 1 : depth, start); // a second blank line after an empty item ends its list
      return;
    }
    if (paragraph && indent < 4 && transform(paragraph, rest, start, end)) return;
    if (isDefined(tip, rest, !isInside)) {
      close(path.length - 1, start);
      depth = Math.min(depth, path.length);
      paragraph = null;
    }
    while (!isBlank) {
      if (indent >= 4) {
        if (path.at(-1)?.kind === "paragraph") break;
        add(depth, block("indented", start, { text: `${spaced.slice(at + 4)}\n` }));
        return;
      }
      const used = begin(depth, raw, rest, indent, start, end, paragraph);
      if (used < 0) return;
      if (used === 0) break;
      isNew = true;
      paragraph = null;
      at += used;
      depth = path.length;
      ({ indent, rest, isBlank } = look(spaced, at));
    }
    const last = /** @type {Block} */ (path.at(-1));
    if (isBlank) return;
    if (!isNew && last.kind === "paragraph") {
      last.text += `\n${rest}`;
      last.last = rest;
      if (last.unsure !== null) last.unsure = last.unsure.length > MAX_DEFINITION ? null : `${last.unsure}\n${rest}`;
      last.lineStart = start;
      last.isHead = isInside && indent < 4 && !markerOf(rest);
    } else if (!isNew && leaf?.kind === "table" && leaf.isOpen && isRow(leaf, rest)) leaf.text += `\n${rest}`;
    else add(depth, block("paragraph", start, { text: rest, last: rest, unsure: rest.startsWith("[") ? rest : null }));
  }

  /** Tell whether a line is one more row of a table; so many cells may be missing that it is none. @param {Block} table @param {string} rest */
  function isRow(table, rest) {
    table.missing += table.level - cellsOf(rest).length;
    return table.missing <= MAX_MISSING;
  }

  /** Take the formula that is in doubt for the text that it is, and read its lines again. */
  function refute() {
    if (doubt === null) return;
    const { back, lines, start, alike } = doubt;
    doubt = null;
    back();
    for (const each of [start, ...alike]) refuted.add(each); // each would be read to the same end
    for (const each of lines) take(...each);
  }

  /** @param {string} raw @param {number} start @param {number} end */
  function take(raw, start, end) {
    const formula = doubt && path.at(-1);
    line(raw, start, end);
    doubt?.lines.push([raw, start, end]);
    if (!formula || formula.isOpen) return;
    if (formula.end === end) doubt = null;
    else refute();
  }

  /** @param {Block[]} blocks */
  function settle(blocks) {
    for (const each of blocks) each.settled = each.children.length - (each.children.at(-1)?.isOpen ? 1 : 0);
  }

  return {
    root,
    /** Tell whether what has been found last may turn out to be something else. */
    isInDoubt: () => doubt !== null,
    /**
     * Take a whole line.
     * @param {string} raw without its end
     * @param {number} start
     * @param {number} end
     */
    line(raw, start, end) {
      const old = [...path];
      take(raw, start, end);
      if (doubt === null) settle([...old, ...path]);
    },
    /** Show a line that is not whole; the function that is returned takes it back. @param {string} raw @param {number} start */
    glance(raw, start) {
      const [back, doubted] = [mark(), doubt];
      line(raw, start, start + raw.length);
      return () => {
        back();
        doubt = doubted;
      };
    },
    /** The innermost open block. */
    tip: () => path.at(-1),
    /** Nothing more will come. @param {number} end */
    finish(end) {
      while (doubt) refute();
      close(1, end);
      settle([root]);
    },
  };
}
