// @ts-check
/**
 * One message's Markdown in the page. The part that is still being written is shown provisionally, in the elements that
 * it will have; each unit that is finished is rendered by the gateway once, and the elements are changed to what comes
 * back. So nothing that is finished is replaced, at the end neither, and no text is lost where the gateway renders
 * nothing. A unit that uses a definition which comes later is rendered once more.
 */

import { MAX_BYTES, PATIENT_MS, bytesOf } from "../core/renderings.js";
import { createUnits, namesOf, wholeOf } from "../core/units.js";
import { codeBeside, make, toggleFold } from "./code.js";
import { copyWith } from "./copy.js";
import { decorate } from "./decoration.js";
import { createDraft } from "./draft.js";
import { mountFormulas } from "./formulas.js";
import { morph, morphSiblings } from "./morph.js";
import { keepingSelection } from "./selection.js";

/**
 * @typedef {import("../core/units.js").Unit} Unit
 * @typedef {import("../core/block.js").Block} Block
 *
 * @typedef {object} Piece a unit that is finished
 * @property {Unit} unit
 * @property {string} text
 * @property {Set<string>} used labels that may be defined elsewhere
 * @property {{label: string, text: string}[]} defined
 * @property {number} asked how often it has been sent to the gateway; -1: what comes back is of no use any more
 *
 * @typedef {object} Page what a message needs of the page
 * @property {() => import("./words.js").Dictionary} words
 * @property {import("../core/renderings.js").Render} render
 * @property {(task: () => void) => void} later
 * @property {(element: Element) => void} sight
 */

const MAX_COLOURED = 16 << 10; // the gateway gives longer code no colours: it is complete without it

/**
 * @param {HTMLElement} root empty
 * @param {number} id of the message; later messages are rendered first
 * @param {Page} page
 */
export function mountMarkdown(root, id, page) {
  const inTime = (/** @type {string} */ source) => page.render(source, { order: id, patientMs: PATIENT_MS.formula });
  const draft = createDraft(page.words, mountFormulas(root, inTime, page.later));
  const parsed = document.createElement("template");
  let shown = "";
  let units = createUnits();
  let isOver = false; // nothing more has been expected
  let awaited = 0;
  /** The nodes of each top-level block. @type {Node[][]} */
  let places = [];
  let drawn = 0; // so many of the blocks are finished and shown
  /** @type {Piece[]} */
  let pieces = [];
  /** The first definition of each label. @type {Map<string, string>} */
  let definitions = new Map();

  root.addEventListener("click", ({ target }) => {
    const button = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest("button")) : null;
    if (button?.dataset.copy) copyWith(button, codeBeside(button), page.words);
    else if (button?.dataset.fold) toggleFold(button, page.words);
  });

  function reset() {
    for (const piece of pieces) piece.asked = -1;
    [units, isOver, places, drawn, pieces, definitions] = [createUnits(), false, [], 0, [], new Map()];
    root.replaceChildren();
  }

  function draw() {
    const { root: whole } = units;
    whole.children.slice(drawn).forEach((block, offset) => {
      const [there, ...others] = places[drawn + offset] ?? [];
      for (const each of others) /** @type {ChildNode} */ (each).remove();
      const place = (/** @type {HTMLElement} */ made) =>
        there ? /** @type {ChildNode} */ (there).replaceWith(made) : root.append(made);
      places[drawn + offset] = [draft.show(there, block, whole, place)];
    });
    for (const each of places.splice(whole.children.length).flat()) /** @type {ChildNode} */ (each).remove();
    for (const each of places.slice(drawn, whole.settled).flat()) page.sight(/** @type {Element} */ (each));
    drawn = whole.settled;
  }

  /** Take units for finished, and have them rendered. @param {Unit[]} finished */
  function adopt(finished) {
    const added = finished.map((unit) => {
      const text = wholeOf(unit, shown.slice(unit.start, unit.end));
      return { unit, text, ...namesOf(unit, text), asked: 0 };
    });
    const learnt = learn(added);
    const late = pieces.filter((piece) => learnt.some((label) => piece.used.has(label)));
    pieces = pieces.concat(added); // as arguments of one call they may be too many
    for (const piece of [...late, ...added]) ask(piece);
  }

  /** Note the definitions of pieces, and return the labels that had none before. @param {Piece[]} from */
  function learn(from) {
    const learnt = [];
    for (const { label, text } of from.flatMap((piece) => piece.defined)) {
      if (definitions.has(label)) continue;
      definitions.set(label, text);
      learnt.push(label);
    }
    return learnt;
  }

  /** @param {Piece} piece */
  function definitionsFor({ used, defined }) {
    const labels = [...used].filter((label) => definitions.has(label) && !defined.some((each) => each.label === label));
    return labels.map((label) => definitions.get(label)).join("\n\n");
  }

  /** @param {Piece} piece */
  async function ask(piece) {
    const { unit, text } = piece;
    if (unit.block.kind === "code" && unit.block.text.length > MAX_COLOURED) return;
    const needed = definitionsFor(piece);
    if (bytesOf(text) + bytesOf(needed) > MAX_BYTES) return;
    const turn = (piece.asked += 1);
    awaited += 1;
    try {
      const isWanted = () => piece.asked === turn;
      const html = await page.render(text, { definitions: needed, order: id, patientMs: isOver ? 0 : PATIENT_MS.unit, isWanted });
      page.later(() => {
        if (piece.asked === turn) show(unit, html);
        arrived();
      });
    } catch {
      arrived(); // the provisional form stays
    }
  }

  function arrived() {
    awaited -= 1;
    translatable();
  }

  /** Let a text be translated by the browser once nothing of it changes any more. */
  function translatable() {
    if (isOver && awaited === 0) root.removeAttribute("translate");
    else root.setAttribute("translate", "no");
  }

  /** @param {Unit} unit @param {string} html */
  function show({ index, item }, html) {
    parsed.innerHTML = html;
    decorate(parsed.content, page.words, id);
    const nodes = [...parsed.content.childNodes];
    const old = places[index] ?? [];
    if (item < 0) {
      if (!nodes.length) nodes.push(make("p", "", { hidden: "" }));
      places[index] = keepingSelection(old, () => morphSiblings(old, nodes));
      for (const each of places[index] ?? []) if (each instanceof Element) page.sight(each);
      return;
    }
    const [list, given] = [old[0], nodes[0]];
    const there = list?.childNodes[item];
    if (there) keepingSelection([there], () => [morph(there, itemOf(given, nodes, list))]);
  }

  /** @param {Node | undefined} given @param {Node[]} nodes @param {Node | undefined} list */
  function itemOf(given, nodes, list) {
    const first = given?.nodeName === list?.nodeName ? given?.firstChild : null;
    if (first && nodes.length === 1 && given?.childNodes.length === 1) return first;
    const made = make("li", ""); // the gateway had no time for a list, or its rules differ
    made.append(...(first ? /** @type {Node} */ (given).childNodes : nodes));
    return made;
  }

  /** Go on with a text that was over: what is finished in the longer one, too, stays. @param {string} text */
  function reopen(text) {
    units = createUnits();
    const found = units.feed(text);
    const isSame = (/** @type {Piece} */ { unit }, /** @type {number} */ index) =>
      !unit.cut && unit.start === found[index]?.start && unit.end === found[index]?.end && unit.item === found[index]?.item;
    let kept = 0;
    while (kept < pieces.length && isSame(/** @type {Piece} */ (pieces[kept]), kept)) kept += 1;
    for (const piece of pieces.slice(kept)) piece.asked = -1;
    pieces = pieces.slice(0, kept);
    definitions = new Map();
    learn(pieces);
    const last = pieces.at(-1)?.unit;
    const block = last && units.root.children[last.index];
    drawn = last ? last.index + (last.item < 0 ? 1 : 0) : 0;
    const list = places[drawn]?.[0];
    if (block?.kind === "list" && list) draft.keep(list, block, (last?.item ?? 0) + 1);
    isOver = false;
    return found.slice(kept);
  }

  /** Take the leaf in which a text was cut for open while it is shown: its marks stay out of sight. @param {Block} [leaf] */
  function reopened(leaf) {
    if (leaf) leaf.isOpen = true;
    return () => leaf && (leaf.isOpen = false);
  }

  return {
    /**
     * Show this text.
     * @param {string} text
     * @param {boolean} isWhole nothing more will come
     * @param {boolean} isCut though it is not finished
     */
    set(text, isWhole, isCut = false) {
      if (text === shown && (isOver || !isWhole)) return;
      if (!text.startsWith(shown)) reset();
      const fed = isOver ? reopen(text) : units.feed(text);
      shown = text;
      isOver = isWhole;
      const finished = isWhole ? fed.concat(units.finish(isCut)) : fed;
      const back = isWhole ? reopened(finished.at(-1)?.cut) : units.glance();
      draw();
      back();
      adopt(finished);
      translatable();
    },
  };
}
