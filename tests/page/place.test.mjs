import assert from "node:assert/strict";
import { test } from "node:test";
import { runOf, step } from "../../clawgate/static/core/place.js";
import * as s from "../../clawgate/static/core/state.js";

const START = { session_id: "s", run_id: "run_a", model: "m", message: "" };
const END = { done: true, done_reason: "stop", session_id: "s", run_id: "run_a", stats: {}, message: "" };
const RESET = { status: "reset", session_id: "s", run_id: "run_a", model: "m", message: "" };
const asked = (state = s.initial()) => s.asked(state, "hi", 1);
const take = (state, id, ...events) => events.reduce((now, [at, event]) => s.received(now, id, event, 5, at), state);
const log = [
  ["run_a:1", START],
  ["run_a:2", { thinking: "h", message: "" }],
  ["run_a:3", { thinking: "m", message: "" }],
  ["run_a:4", { message: "a" }],
  ["run_a:5", { message: "b" }],
  ["run_a:6", END],
];
const look = (state) => {
  const { content, thinking, tools, phase, reason, place } = s.lastMessage(state);
  return [content, thinking, tools, phase, reason, place];
};

test("an event is known, the next one, or beyond what has come", () => {
  for (const [place, at, expected] of [
    ["", "run_a:1", "next"],
    ["run_a:3", "", "next"],
    ["run_a:3", "run_a:3", "known"],
    ["run_a:3", "run_a:2", "known"],
    ["run_a:9", "run_a:10", "next"],
    ["run_a:3", "run_a:5", "beyond"],
    ["run_a:3", "run_b:1", "next"],
    ["strange", "run_a:1", "next"],
  ]) {
    assert.equal(step(place, at), expected, `${place} ${at}`);
  }
  assert.deepEqual([runOf("run_a:3"), runOf(""), runOf("strange")], ["run_a", "", ""]);
});

test("an answer is the same wherever its readers were cut, and whatever comes again", () => {
  const first = asked();
  const whole = look(take(first, first.activeId, ...log));
  assert.deepEqual(whole, ["ab", "hm", [], "done", "stop", "run_a:6"]);
  for (let cut = 0; cut <= log.length; cut += 1) {
    for (let again = 0; again <= cut; again += 1) {
      const half = take(first, first.activeId, ...log.slice(0, cut));
      assert.deepEqual(look(take(half, first.activeId, ...log.slice(again))), whole, `cut at ${cut}, again from ${again}`);
    }
  }
});

test("a reset says all of its run anew, at every place", () => {
  const first = asked();
  for (let cut = 0; cut < 5; cut += 1) {
    const half = take(first, first.activeId, ...log.slice(0, cut));
    const reset = ["run_a:5", { ...RESET, text: "ab", thinking: "hm", tool_calls: [{ function: { name: "f" } }] }];
    const state = take(half, first.activeId, reset, ["run_a:6", END]);
    assert.deepEqual(look(state), ["ab", "hm", ["f"], "done", "stop", "run_a:6"]);
  }
});

test("a reset of a run that goes on with an answer leaves what was there before it", () => {
  let state = take(asked(), 2, ["run_z:1", { ...START, run_id: "run_z" }], ["run_z:2", { message: "Half" }]);
  state = take(state, 2, ["run_z:3", { ...END, done_reason: "interrupted" }]);
  state = s.resumed(state, 7);
  assert.deepEqual([s.lastMessage(state).place, s.lastMessage(state).base.content], ["", 4]);
  state = take(state, 2, ["run_a:1", START], ["run_a:2", { message: " and" }], ["run_a:4", { ...RESET, text: " and all" }]);
  assert.equal(s.lastMessage(state).content, "Half and all");
  assert.equal(state.activeId, 2);
  assert.equal(s.lastMessage(take(state, 2, ["run_a:5", END])).reason, "stop");
});

test("an answer that another window keeps is read here, to its end", () => {
  const theirs = take(asked(), 2, ["run_a:1", START], ["run_a:2", { message: "a" }]);
  let state = { ...theirs, activeId: 0, elsewhereId: 2, runId: "", isBehind: true };
  state = take(state, 2, ["run_a:1", START], ["run_a:2", { message: "a" }], ["run_a:3", { message: "b" }]);
  assert.deepEqual([s.lastMessage(state).content, state.elsewhereId, state.isBehind], ["ab", 2, true]);
  const mine = s.adopted(state);
  assert.deepEqual([mine.activeId, mine.elsewhereId], [2, 0]);
  state = take(state, 2, ["run_a:4", END]);
  assert.deepEqual([state.elsewhereId, s.lastMessage(state).reason, s.adopted(state)], [0, "stop", state]);
});

test("a cut is noted once, and is over with the next sign of life or with the answer", () => {
  const state = s.cut(s.cut(take(asked(), 2, ["run_a:1", START]), 10), 20);
  assert.deepEqual([state.cutAt, s.heard(state).cutAt], [10, 0]);
  assert.equal(take(state, 2, ["run_a:2", END]).cutAt, 0);
});

test("an end that lies before what has come is one all the same: its process died before it had shared the last words", () => {
  const first = asked();
  const ahead = take(first, first.activeId, ...log.slice(0, 5));
  const end = { ...END, done_reason: "interrupted" };
  const state = take(ahead, first.activeId, ["run_a:4", { ...RESET, text: "a", thinking: "hm" }], ["run_a:5", end]);
  assert.deepEqual(look(state).slice(0, 5), ["ab", "hm", [], "done", "interrupted"], "the text that is shown stays");
  assert.deepEqual([state.activeId, state.isBehind], [0, true], "the gateway has less");
});
