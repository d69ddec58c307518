// @ts-check
/**
 * Shows blocks that are still being written, as far as they are known: the same elements that the gateway will make of
 * them. Only what may have changed since the last time is looked at: finished blocks, rows and lines keep their elements.
 */

import { definitionsOf } from "../core/definitions.js";
import { element as node, read } from "../core/inline.js";
import { alignmentsOf, cellsOf } from "../core/lines.js";
import { growCode, make, makeCode } from "./code.js";
import { tableBox } from "./decoration.js";
import { morph, morphChildren } from "./morph.js";

/**
 * @typedef {import("../core/block.js").Block} Block
 *
 * @typedef {object} Memory what an element shows already
 * @property {Block | null} block
 * @property {number} done the children or rows that do not change any more
 * @property {string} text
 * @property {number} settled the characters of it that do not change any more
 * @property {number} count the nodes that stand for them
 * @property {import("./code.js").Grown} grown
 */

const SHAPES = {
  quote: "blockquote",
  item: "li",
  note: "div",
  formula: "div",
  code: "code",
  indented: "code",
  table: "wide",
  rule: "hr",
};
const TASK = /^\[([ xX])\](?=\s|$)/;

/** Tell whether a paragraph looks like the head of a table. @param {Block} block */
const isHead = (block) => block.isOpen && /^\|[^\n]*$/.test(block.text);

/** Tell whether a paragraph shows nothing. @param {Block} block */
const isHidden = (block) =>
  block.kind === "paragraph" &&
  block.text.startsWith("[") &&
  (definitionsOf(block.text).rest === "" || (block.isOpen && /^\[[^\]]+\]:/.test(block.text)));

/** @param {Block} block @returns {string} the name of its element, or of its box */
function shapeOf(block) {
  if (block.kind === "paragraph") return isHead(block) ? "wide" : "p";
  if (block.kind === "list") return block.level ? "ol" : "ul";
  if (block.kind === "heading") return `h${block.level}`;
  return SHAPES[/** @type {keyof typeof SHAPES} */ (block.kind)] ?? "p";
}

/** @param {Node | undefined} there */
const shapeIn = (there) =>
  !(there instanceof HTMLElement)
    ? ""
    : there.classList.contains("code")
      ? "code"
      : there.classList.contains("wide")
        ? "wide"
        : there.localName;

/**
 * @param {() => import("./words.js").Dictionary} words
 * @param {(source: string) => Node | null} drawn a formula, where it is known
 */
export function createDraft(words, drawn) {
  /** @type {WeakMap<Node, Memory>} */
  const memories = new WeakMap();

  /** @param {Node} element @param {Block} block @returns {Memory} */
  function memoryOf(element, block) {
    const known = memories.get(element);
    if (known?.block === block) return known;
    /** @type {Memory} */
    const fresh = { block, done: 0, text: "", settled: 0, count: 0, grown: { text: "", lines: 0, last: null, inLast: 0 } };
    memories.set(element, fresh);
    return fresh;
  }

  /** @param {import("../core/inline.js").Node} given @returns {Node} */
  function build(given) {
    if (typeof given === "string") return document.createTextNode(given);
    const { class: className = "", ...attributes } = given.attributes ?? {};
    const formula = attributes["data-formula"] && drawn(attributes["data-formula"]);
    if (formula) return formula;
    const made = make(given.tag, className, given.tag === "code" ? { dir: "ltr", ...attributes } : attributes);
    for (const each of given.children) made.append(build(each)); // as arguments of one call they may be too many
    return made;
  }

  /** @param {Block} block @param {boolean} isOutermost @returns {HTMLElement} */
  function create(block, isOutermost) {
    const shape = shapeOf(block);
    /** @type {Record<string, string>} */
    const direction = isOutermost ? { dir: "auto" } : {};
    if (shape === "code") return makeCode(block.info.split(/\s/)[0] ?? "", words);
    if (shape === "wide") {
      const table = make("table", "", direction);
      table.append(make("thead", ""), make("tbody", ""));
      const holder = document.createDocumentFragment();
      holder.append(table);
      return tableBox(table, words);
    }
    const name = block.kind === "note" ? "footnote" : block.kind === "formula" ? "math" : "";
    const made = make(shape, name, shape === "hr" ? {} : direction);
    if (block.kind === "note") made.dataset.footnote = block.mark.toLowerCase();
    if (block.number > 1 || (block.kind === "list" && block.level && block.number === 0)) made.setAttribute("start", String(block.number));
    return made;
  }

  /**
   * Show a text in an element, from its child `offset` on.
   * @param {Element} element
   * @param {Memory} memory
   * @param {string} text
   * @param {boolean} isOpen
   * @param {number} [offset]
   */
  function write(element, memory, text, isOpen, offset = 0) {
    if (!text.startsWith(memory.text.slice(0, memory.settled))) Object.assign(memory, { settled: 0, count: 0 });
    const { nodes, settled, count } = read(text, isOpen, memory.settled);
    morphChildren(element, nodes.map(build), offset + memory.count);
    Object.assign(memory, { text, settled, count: memory.count + count });
  }

  /** @param {HTMLElement} element @param {Block} block @param {Block} parent */
  function paragraph(element, block, parent) {
    const hidden = isHidden(block);
    element.hidden = hidden;
    if (hidden) return element.replaceChildren();
    const memory = memoryOf(element, block);
    const { rest } = definitionsOf(block.text);
    const isFirst = parent.kind === "item" && parent.children[0] === block;
    const task = isFirst ? TASK.exec(rest) : null;
    if (isFirst) element.parentElement?.classList.toggle("task-list-item", task !== null);
    if (!task) return write(element, memory, rest, block.isOpen);
    const label = node("label", [node("input", [], { disabled: "", type: "checkbox", ...(task[1] === " " ? {} : { checked: "" }) })]);
    if (element.firstElementChild?.localName !== "label") element.replaceChildren(build(label));
    write(/** @type {Element} */ (element.firstElementChild), memory, ` ${rest.slice(3).trimStart()}`, block.isOpen, 1);
  }

  /** @param {HTMLElement} box @param {Block} block */
  function table(box, block) {
    const memory = memoryOf(box, block);
    const head = /** @type {Element} */ (box.querySelector("thead"));
    const body = box.querySelector("tbody") ?? make("tbody", ""); // the gateway's rendering of a head alone has none
    if (!body.parentNode) head.after(body);
    const lines = block.text.split("\n");
    const alignments = alignmentsOf(lines[1] ?? "") ?? [];
    const names = cellsOf(lines[0] ?? "");
    if (memory.text !== (lines[1] ?? "-")) row(head, 0, names, names.length, alignments, "th", lines.length === 1);
    const rows = lines.slice(2);
    for (let index = memory.done; index < rows.length; index += 1) {
      row(body, index, cellsOf(rows[index] ?? ""), names.length, alignments, "td", block.isOpen && index === rows.length - 1);
    }
    while (body.childNodes.length > rows.length) body.lastChild?.remove();
    memory.done = Math.max(0, rows.length - (block.isOpen ? 1 : 0));
    memory.text = lines[1] ?? "";
  }

  /**
   * @param {Element} part @param {number} index @param {string[]} cells @param {number} columns
   * @param {string[]} alignments @param {string} tag @param {boolean} isOpen
   */
  function row(part, index, cells, columns, alignments, tag, isOpen) {
    const made = make("tr", "");
    for (let column = 0; column < columns; column += 1) {
      const cell = make(tag, alignments[column] ?? "");
      const isLast = isOpen && column === cells.length - 1;
      for (const each of read(cells[column] ?? "", isLast).nodes) cell.append(build(each));
      made.append(cell);
    }
    const there = part.childNodes[index];
    if (there) morph(there, made);
    else part.append(made);
  }

  /**
   * Bring the children of a container in step with its blocks.
   * @param {HTMLElement} element
   * @param {Block} block
   */
  function container(element, block) {
    const memory = memoryOf(element, block);
    const { children } = block;
    for (let index = memory.done; index < children.length; index += 1) {
      const child = /** @type {Block} */ (children[index]);
      const there = element.childNodes[index];
      show(there, child, block, (made) => (there ? there.replaceWith(made) : element.append(made)));
    }
    while (element.childNodes.length > children.length) element.lastChild?.remove();
    memory.done = Math.max(memory.done, block.settled);
  }

  /**
   * Show a block in the element that is there, or in a new one.
   * @param {Node | undefined} there
   * @param {Block} block
   * @param {Block} parent
   * @param {(made: HTMLElement) => void} place puts a new element where it belongs
   * @returns {HTMLElement} its element
   */
  function show(there, block, parent, place) {
    const isFit = shapeIn(there) === shapeOf(block) && !(there instanceof HTMLDivElement && there.className === "math");
    const element = isFit ? /** @type {HTMLElement} */ (there) : create(block, parent.kind === "root");
    if (!isFit) place(element);
    const { kind, text } = block;
    if (kind === "code" || kind === "indented") {
      const name = element.querySelector("span");
      if (name && kind === "code") name.textContent = block.info.split(/\s/)[0] ?? "";
      growCode(element, memoryOf(element, block).grown, text, block.isOpen, words);
    } else if (kind === "table" || (kind === "paragraph" && isHead(block))) table(element, block);
    else if (kind === "paragraph") paragraph(element, block, parent);
    else if (kind === "heading") write(element, memoryOf(element, block), text, block.isOpen);
    else if (kind === "formula") morphChildren(element, [build(node("code", [text.trim()], { class: "math" }))]);
    else if (kind !== "rule") container(element, block);
    return element;
  }

  return {
    show,
    /**
     * Take the first children of a container for shown.
     * @param {Node} element
     * @param {Block} block
     * @param {number} count
     */
    keep(element, block, count) {
      memoryOf(element, block).done = count;
    },
  };
}
