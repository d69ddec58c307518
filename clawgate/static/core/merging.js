// @ts-check
/**
 * Two copies of one conversation that have gone on apart, in two tabs, become one: pure. Nothing is lost: what one of
 * them has added hangs beside what the other has added, as another way.
 */

import { runOf, step } from "./place.js";
import { mergedQueues } from "./queue.js";
import { IDLE, PAGE_WIDE, lastMessage } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./branches.js").Tail} Tail
 *
 * @typedef {Map<number, {after: number, message: Message}>} Tree the messages by their ids
 */

/** @param {Pick<State, "messages" | "others">} state @returns {Tree} */
function treeOf(state) {
  /** @type {Tree} */
  const tree = new Map();
  for (const { after, messages } of [{ after: 0, messages: state.messages }, ...state.others]) {
    let above = after;
    for (const message of messages) {
      tree.set(message.id, { after: above, message });
      above = message.id;
    }
  }
  return tree;
}

/**
 * Tell whether two messages with one id are the same one, at two moments: answers grow, questions do not.
 * @param {Message} one
 * @param {Message} other
 */
function isSame(one, other) {
  if (one.role !== other.role || one.role === "user") return one.role === other.role && one.content === other.content;
  return one.content.startsWith(other.content) || other.content.startsWith(one.content);
}

/**
 * Choose the later of two moments of a message: the one that has more of their run, says more, or has ended.
 * @param {Message} mine
 * @param {Message} theirs
 */
function later(mine, theirs) {
  const isOneRun = mine.place !== "" && runOf(mine.place) === runOf(theirs.place);
  if (isOneRun && mine.place !== theirs.place) return step(mine.place, theirs.place) === "known" ? mine : theirs;
  if (mine.content.length !== theirs.content.length) return mine.content.length > theirs.content.length ? mine : theirs;
  return mine.phase === "done" ? mine : theirs;
}

/**
 * Take another copy, but the later moment of the one answer that is read here, too.
 * @param {State} theirs
 * @param {Message | undefined} mine
 * @returns {State}
 */
export function withLater(theirs, mine) {
  const own = theirs.messages.find((each) => each.id === mine?.id);
  if (!mine || !own || !isSame(mine, own) || later(mine, own) === own) return theirs;
  return { ...theirs, messages: theirs.messages.map((each) => (each === own ? mine : each)) };
}

/** @param {Tree} tree @returns {Map<number, number[]>} the ids of the messages that follow each */
function followingIn(tree) {
  /** @type {Map<number, number[]>} */
  const following = new Map();
  for (const [id, { after }] of tree) following.set(after, [...(following.get(after) ?? []), id]);
  return following;
}

/**
 * Lay the other copy's messages into a tree. One that is there under another id is found by its words; one whose id
 * another message has gets a new id.
 * @param {Tree} tree
 * @param {State} theirs
 * @param {number} nextId
 * @param {number} activeId the answer that streams here: its own copy is the best
 * @returns {{ids: Map<number, number>, nextId: number}} the ids in the tree by theirs
 */
function graft(tree, theirs, nextId, activeId) {
  const following = followingIn(tree);
  /** @type {Map<number, number>} */
  const ids = new Map();
  for (const [id, { after, message }] of treeOf(theirs)) {
    const above = ids.get(after) ?? after;
    const isIt = (/** @type {number} */ each) => {
      const own = tree.get(each)?.message;
      return own !== undefined && isSame(own, message) && (each === id || (own.content !== "" && message.content !== ""));
    };
    const beside = following.get(above) ?? [];
    const known = beside.includes(id) && isIt(id) ? id : beside.find(isIt);
    const given = known ?? (tree.has(id) ? nextId : id);
    const own = tree.get(given)?.message;
    const best = own ? later(own, message) : message;
    if (given !== activeId) tree.set(given, { after: above, message: best.id === given ? best : { ...best, id: given } });
    ids.set(id, given);
    nextId = Math.max(nextId, given + 1);
  }
  return { ids, nextId };
}

/**
 * Cut what is not on the path into tails: each goes on with the youngest of the messages that follow.
 * @param {Tree} tree
 * @param {Set<number>} path
 * @returns {Tail[]}
 */
function tailsBeside(tree, path) {
  const beside = new Map([...tree].filter(([id]) => !path.has(id)).sort(([one], [other]) => one - other));
  const following = followingIn(beside);
  /** @type {Tail[]} */
  const tails = [];
  for (const [after, ids] of following) {
    for (const first of path.has(after) || after === 0 ? ids : ids.slice(0, -1)) {
      const messages = [];
      for (let id = /** @type {number | undefined} */ (first); id !== undefined; id = following.get(id)?.at(-1)) {
        const own = tree.get(id);
        if (own) messages.push(own.message);
      }
      tails.push({ after, messages });
    }
  }
  return tails;
}

/** What the tree decides, or what belongs to one tab. */
const APART = ["messages", "others", "isBehind", "nextId", "queue", "draft", "edit", "editingId", ...Object.keys(IDLE), ...PAGE_WIDE];

/**
 * Take over what they have changed and I have not: a title, a setting.
 * @param {State} mine
 * @param {State} theirs
 * @param {State} base
 * @returns {State}
 */
function withTheirs(mine, theirs, base) {
  const own = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (mine));
  const old = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (base));
  const taken = Object.entries(theirs).filter(([name]) => !APART.includes(name) && own[name] === old[name]);
  return { ...mine, ...Object.fromEntries(taken) };
}

/**
 * Put two copies together. The path that is shown is the one that goes on from the other; where both have gone on, mine,
 * unless what was asked in theirs has ended mine.
 * @param {State} mine
 * @param {State} theirs
 * @param {State} base mine, as it was when both were the same
 * @returns {State}
 */
export function merged(mine, theirs, base) {
  const tree = treeOf(mine);
  const { ids, nextId } = graft(tree, theirs, Math.max(mine.nextId, theirs.nextId), mine.activeId);
  const own = mine.messages.map((each) => each.id);
  const other = theirs.messages.map((each) => ids.get(each.id) ?? each.id);
  const isBehindThem = own.every((id, place) => other[place] === id);
  const isBeforeThem = other.every((id, place) => own[place] === id);
  const isEnded = !isBeforeThem && lastMessage(mine)?.reason === "superseded";
  const path = isBehindThem || isEnded ? other : own;
  const messages = path.flatMap((id) => tree.get(id)?.message ?? []);
  const queue = mergedQueues(mine.queue, theirs.queue, base.queue, nextId);
  return {
    ...withTheirs(mine, theirs, base),
    queue,
    messages,
    others: tailsBeside(tree, new Set(path)),
    isBehind: isBehindThem || isEnded ? theirs.isBehind : mine.isBehind || !isBeforeThem,
    nextId: nextId + queue.length,
  };
}
