import assert from "node:assert/strict";
import { test } from "node:test";
import * as q from "../../clawgate/static/core/queue.js";
import * as s from "../../clawgate/static/core/state.js";

const END = { done: true, done_reason: "stop", stats: {}, message: "" };
const streaming = () => q.queued(q.queued(s.asked(s.initial(), "a", 0), "b", ["AAAA"]), "c", []);
const ended = (state, reason) => s.received(state, state.activeId, { ...END, done_reason: reason }, 1);

test("messages wait in their order, and each can be withdrawn", () => {
  const state = streaming();
  assert.deepEqual(state.queue.map(({ content }) => content), ["b", "c"]);
  assert.equal(new Set([...state.queue, ...state.messages].map(({ id }) => id)).size, 4);
  assert.deepEqual(q.withdrawn(state, state.queue[0].id).queue.map(({ content }) => content), ["c"]);
});

test("the first goes out after an answer that ended by itself, and stays after any other", () => {
  for (const [reason, content] of [["stop", "b"], ["length", "b"], ["interrupted", undefined], ["error", undefined], ["superseded", undefined], ["truncated", undefined]]) {
    const over = ended(streaming(), reason);
    assert.equal(q.nextQueued(over, s.lastMessage(over))?.content, content, reason);
    assert.equal(over.queue.length, 2, "nothing is lost");
  }
});

test("none goes out while another answer streams or a question is being edited", () => {
  const over = ended(streaming(), "stop");
  const answer = s.lastMessage(over);
  assert.equal(q.nextQueued(s.asked(over, "d", 2), answer), undefined);
  assert.equal(q.nextQueued(s.editing(over, over.messages[0].id), answer), undefined);
});

test("a queue has an end", () => {
  let state = s.asked(s.initial(), "a", 0);
  while (q.canQueue(state)) state = q.queued(state, "x", []);
  assert.equal(state.queue.length, q.MAX_QUEUED);
});

test("two windows' queues become one: what one of them has sent or withdrawn does not come back", () => {
  const line = (/** @type {string[]} */ ...texts) => texts.map((content, id) => ({ id: id + 1, content, images: [] }));
  const words = (/** @type {string[]} */ mine, /** @type {string[]} */ theirs, /** @type {string[]} */ base) =>
    q.mergedQueues(line(...mine), line(...theirs), line(...base), 100).map(({ content }) => content);
  assert.deepEqual(words(["a", "b"], [], ["a", "b"]), []);
  assert.deepEqual(words(["a", "b", "mine"], ["b"], ["a", "b"]), ["b", "mine"]);
  assert.deepEqual(words(["b"], ["a", "b", "theirs"], ["a", "b"]), ["b", "theirs"]);
  assert.deepEqual(words(["mine"], ["theirs"], []), ["mine", "theirs"]);
  assert.deepEqual(words(["a", "a"], ["a"], ["a", "a"]), ["a"], "one of two that are the same");
  assert.deepEqual(words(["new"], ["new"], []), ["new"], "what both have is there once");
  const ids = q.mergedQueues(line("x"), line("y"), [], 100).map(({ id }) => id);
  assert.deepEqual(ids, [1, 100], "a message has an id of its own");
});
