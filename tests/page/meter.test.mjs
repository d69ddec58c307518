import assert from "node:assert/strict";
import { test } from "node:test";
import * as m from "../../clawgate/static/core/meter.js";
import * as s from "../../clawgate/static/core/state.js";

const START = { session_id: "sess_1", run_id: "run_1", model: "m", message: "" };
const end = (reason, stats = {}) => ({ done: true, done_reason: reason, stats, message: "" });

/** @param {[number, object][]} events each with its moment */
function played(events, state = s.asked(s.initial(), "a", 0)) {
  const id = state.activeId;
  return events.reduce((now, [at, event]) => s.received(now, id, event, at), state);
}

test("Ollama's own figures are told as they are", () => {
  const state = played([[0, START], [1, { message: "x" }], [2, end("stop", { eval_count: 100, eval_duration: 2e9, total_duration: 5e9 })]]);
  assert.deepEqual(m.speedOf(s.lastMessage(state)), { perSecond: 50, seconds: 5, isAbout: false });
});

test("an answer that was cut off has the speed of our own clock, which stands while nothing can come", () => {
  let state = played([
    [0, START],
    [9000, { message: "word " }],
    [10000, { message: "word ".repeat(31) }],
    [11000, { status: "waiting", reason: "upstream_unreachable", attempt: 2, message: "" }],
    [60000, { status: "resumed", message: "" }],
    [61000, { message: "word ".repeat(32) }],
    [62000, { message: "word ".repeat(32) }],
    [63000, end("interrupted")],
  ]);
  const speed = m.speedOf(s.lastMessage(state));
  assert.deepEqual([speed.seconds, speed.isAbout], [2, true]);
  assert.ok(speed.perSecond > 45 && speed.perSecond < 75, `96 words in 2 s are about 60 a second: ${speed.perSecond}`);
  state = played([[90000, START], [91000, { message: "w" }], [92000, { message: "w" }], [93000, end("interrupted")]], s.resumed(state, 90000));
  assert.equal(m.speedOf(s.lastMessage(state)).seconds, 3);
});

test("too short an answer has no speed", () => {
  assert.equal(m.speedOf(s.lastMessage(played([[0, START], [1, { message: "a" }], [2, end("interrupted")]]))), null);
  assert.equal(m.speedOf(s.lastMessage(played([[0, START], [1, end("interrupted")]]))), null);
});

test("Chinese has more tokens a character than English", () => {
  assert.ok(m.tokensAbout("你好世界") > 2 * m.tokensAbout("abcd"));
});

test("the meter shows the last count, warns before the context is full, and never shows more than all of it", () => {
  const at = (used, size, more = {}) => m.contextOf(played([[0, START], [1, end("stop", { eval_count: 1, context: { used, size }, ...more })]]).messages);
  assert.deepEqual(at(400, 1000), { used: 400, size: 1000, percent: 40, isWarned: false });
  assert.deepEqual([at(799, 1000).isWarned, at(800, 1000).isWarned], [false, true]);
  assert.deepEqual([at(2000, 1000).percent, at(600, 1000, { context_full: true }).percent], [100, 100]);
  assert.equal(m.contextOf(s.initial().messages), null);
});
