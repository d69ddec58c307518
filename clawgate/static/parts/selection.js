// @ts-check
/** The reader's selection while the page changes elements below it: kept by its place in the text. */

/**
 * Change a part of the page; where a selection ends in it, select the same characters of the text afterwards.
 * @param {Node[]} nodes what is changed
 * @param {() => Node[]} change gives what stands there now
 */
export function keepingSelection(nodes, change) {
  const selection = document.getSelection();
  const ends = selection?.rangeCount && !selection.isCollapsed ? [selection.anchorNode, selection.focusNode] : [];
  const offsets = ends.map((end, index) => offsetOf(nodes, end, index ? selection?.focusOffset : selection?.anchorOffset));
  const now = change();
  if (!selection || offsets.every((each) => each < 0)) return now;
  const [anchor, focus] = [selection.anchorNode, selection.focusNode].map((end, index) => {
    const offset = offsets[index] ?? -1;
    if (offset >= 0) return placeOf(now, offset);
    return end && { node: end, offset: index ? selection.focusOffset : selection.anchorOffset };
  });
  if (anchor && focus) selection.setBaseAndExtent(anchor.node, anchor.offset, focus.node, focus.offset);
  return now;
}

/**
 * Count the characters before a place; -1 where it is not within the nodes.
 * @param {Node[]} nodes @param {Node | null} end @param {number} [offset]
 */
function offsetOf(nodes, end, offset = 0) {
  const index = nodes.findIndex((each) => each.contains(end));
  const [node, first] = [nodes[index], nodes[0]];
  if (!node || !first || !end) return -1;
  const range = document.createRange();
  range.setStartBefore(first);
  range.setEnd(end, offset);
  return range.toString().length;
}

/**
 * Find the place after so many characters.
 * @param {Node[]} nodes
 * @param {number} offset
 */
function placeOf(nodes, offset) {
  let left = offset;
  for (const root of nodes) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = root instanceof Text ? root : walker.nextNode(); node; node = walker.nextNode()) {
      const { length } = /** @type {Text} */ (node);
      if (left <= length) return { node, offset: left };
      left -= length;
    }
  }
  const last = nodes.at(-1);
  return last ? { node: last, offset: last.childNodes.length } : null;
}
