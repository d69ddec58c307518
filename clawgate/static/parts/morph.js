// @ts-check
/**
 * Makes one tree of elements like another and keeps what is the same, so that selection, focus and scroll positions in
 * it stay. Position by position: the two are the provisional and the finished form of one text, and differ little.
 */

/**
 * Give a text node its text, touching the characters that differ alone: a selection in the others stays.
 * @param {Text} node
 * @param {string} data
 */
export function setText(node, data) {
  const old = node.data;
  if (old === data) return;
  if (data.startsWith(old)) {
    node.appendData(data.slice(old.length));
    return;
  }
  const most = Math.min(old.length, data.length);
  let head = 0;
  while (head < most && old[head] === data[head]) head += 1;
  let tail = 0;
  while (tail < most - head && old[old.length - 1 - tail] === data[data.length - 1 - tail]) tail += 1;
  node.replaceData(head, old.length - tail - head, data.slice(head, data.length - tail));
}

/** @param {Node} one @param {Node} other */
const isAlike = (one, other) =>
  one.nodeName === other.nodeName &&
  (!(one instanceof Element) || !(other instanceof Element) || boxOf(one) === boxOf(other));

/** The boxes that the page makes around code and tables. @param {Element} each */
const boxOf = (each) => (each.classList.contains("code") ? "code" : each.classList.contains("wide") ? "wide" : "");

/**
 * @param {Node} old
 * @param {Node} next is used up
 * @returns {Node} the node that is in the page now
 */
export function morph(old, next) {
  if (!isAlike(old, next)) {
    old.parentNode?.replaceChild(next, old);
    return next;
  }
  if (old instanceof Text && next instanceof Text) setText(old, next.data);
  if (!(old instanceof Element) || !(next instanceof Element)) return old;
  if (old.localName === "button") return old; // it may say "copied"
  morphAttributes(old, next);
  if (old.localName === "code" && old.parentElement?.localName === "pre") recolour(old, next);
  else morphChildren(old, [...next.childNodes]);
  return old;
}

/** @param {Element} old @param {Element} next */
function morphAttributes(old, next) {
  const isCode = boxOf(old) === "code"; // whether it is folded is the reader's affair
  for (const name of old.getAttributeNames()) if (!next.hasAttribute(name) && !isCode) old.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !(isCode && name === "class")) old.setAttribute(name, value);
  }
}

/**
 * Put the colours in; code that has none to come stays, with the blocks that its lines lie in.
 * @param {Element} old @param {Element} next
 */
function recolour(old, next) {
  const isColoured = next.firstElementChild !== null;
  if (isColoured ? !old.isEqualNode(next) : old.textContent !== next.textContent) replaceAll(old, next);
}

/** @param {Element} old @param {Element} next whose children it gets, however many they are */
function replaceAll(old, next) {
  old.replaceChildren();
  while (next.firstChild) old.append(next.firstChild);
}

/** With each child that an element of `dir="auto"` gets, browsers may look for a direction in all of them. */
const MANY = 50;

/**
 * @param {Node} parent
 * @param {Node[]} next
 * @param {number} [from] the first child that is compared
 */
export function morphChildren(parent, next, from = 0) {
  const directed = Math.max(next.length, parent.childNodes.length) > MANY && parent instanceof Element ? parent.closest('[dir="auto"]') : null;
  directed?.removeAttribute("dir");
  next.forEach((each, index) => {
    const old = parent.childNodes[from + index];
    if (old) morph(old, each);
    else parent.appendChild(each);
  });
  while (parent.childNodes.length > from + next.length) parent.lastChild?.remove();
  directed?.setAttribute("dir", "auto");
}

/**
 * Put nodes in the place of others, beside which more may stand.
 * @param {Node[]} old at least one
 * @param {Node[]} next at least one
 * @returns {Node[]} the nodes that are in the page now
 */
export function morphSiblings(old, next) {
  /** @type {Node[]} */
  const now = [];
  next.forEach((each, index) => {
    const there = old[index];
    if (there) now.push(morph(there, each));
    else now.push(/** @type {ChildNode} */ (now.at(-1)).parentNode?.insertBefore(each, now.at(-1)?.nextSibling ?? null) ?? each);
  });
  for (const each of old.slice(next.length)) /** @type {ChildNode} */ (each).remove();
  return now;
}
