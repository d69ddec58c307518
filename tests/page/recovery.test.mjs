import assert from "node:assert/strict";
import { test } from "node:test";
import { history, reconciled } from "../../clawgate/static/core/history.js";
import { packed, unpacked } from "../../clawgate/static/core/packing.js";
import { isCutOff, joined, questionOf, recovered, reopened, withoutEditedRefusal, withoutRefused } from "../../clawgate/static/core/recovery.js";
import * as s from "../../clawgate/static/core/state.js";

const START = { session_id: "s", run_id: "r", model: "m", message: "" };
const end = (reason, rest = {}) => ({ done: true, done_reason: reason, session_id: "s", run_id: "r", stats: {}, message: "", ...rest });
const REFUSAL = end("error", { error: { code: "upstream_refused", message: "m", words: "w" } });
const said = (role, content, marks = {}) => ({ role, content, ...marks });

function turn(state, question, ...events) {
  const now = s.asked(state, question, 1);
  return [START, ...events].reduce((each, event) => s.received(each, now.activeId, event, 2), now);
}
const cut = (code, ...events) => {
  const now = turn(s.initial(), "go", ...events);
  return s.failed(now, now.activeId, { code, message: "" }, 3);
};
const texts = (state) => state.messages.map((each) => each.content);

test("an answer that was cut on its way can be gone on with, whatever the gateway has kept of it", () => {
  for (const [given, content, reason, isBehind] of [
    [null, "Half", "interrupted", true],
    [[said("user", "go"), said("assistant", "Half and more", { interrupted: true })], "Half and more", "interrupted", true],
    [[said("user", "go"), said("assistant", "Half and all")], "Half and all", "stop", true],
    [[said("user", "another")], "Half", "interrupted", true],
    [[], "Half", "interrupted", true],
  ]) {
    const before = reopened(cut("network", { message: "Half" }), 4);
    const after = recovered(before, given, 5);
    const answer = s.lastMessage(after);
    assert.deepEqual([answer.content, answer.reason, answer.failure, answer.phase], [content, reason, null, "done"]);
    assert.deepEqual([after.isBehind, after.activeId, after.cutAt], [isBehind, 0, 0]);
    assert.deepEqual(after.messages.map((each) => each.id), before.messages.map((each) => each.id));
  }
});

test("what the gateway, or Ollama, said of an answer stays, and so does one that streams", () => {
  for (const code of ["upstream_error", "busy", "unauthorized", "upstream_refused"]) {
    const state = cut(code, { message: "Half" });
    assert.equal(isCutOff(state), false);
    assert.equal(reopened(state, 4), state);
  }
  for (const code of ["network", "proxy", "sign_in", "shutting_down"]) assert.equal(isCutOff(cut(code)), true);
  const again = s.resumed(cut("network"), 4);
  assert.equal(reopened(again, 5), again);
  assert.equal(reopened(s.initial(), 5).activeId, 0);
});

test("an answer that was cut streams again from its place", () => {
  const now = s.asked(s.initial(), "go", 1);
  const half = s.received(s.received(now, 2, START, 2, "r:1"), 2, { message: "Half" }, 3, "r:2");
  for (const code of ["network", "unauthorized"]) {
    const open = reopened(s.failed(half, 2, { code, message: "" }, 4), 5);
    const { phase, failure, reason, place } = s.lastMessage(open);
    assert.deepEqual([open.activeId, open.runId, open.cutAt, phase, failure, reason, place], [2, "r", 5, "text", null, "", "r:2"]);
    const whole = s.received(s.received(open, 2, { message: " whole" }, 6, "r:3"), 2, end("stop"), 7, "r:4");
    assert.deepEqual([texts(whole), whole.activeId], [["go", "Half whole"], 0]);
  }
});

test("a reader that has nothing of its run goes back to where that began", () => {
  const view = (messages, streaming = true) => ({ session_id: "s", run_id: "r", messages, streaming });
  const now = s.asked(s.initial(), "go", 1);
  assert.equal(joined(now, null), null);
  assert.equal(joined(now, view([said("user", "go")], false)), null, "it is over");
  assert.equal(joined(now, view([said("user", "other")])), null, "it is another question's");
  assert.deepEqual(texts(joined(now, view([said("user", "go")]))), ["go", ""]);
  const half = s.resumed(turn(s.initial(), "go", { message: "Half" }, end("interrupted")), 5);
  const again = joined(half, view([said("user", "go"), said("assistant", "Half a", { interrupted: true })]));
  assert.deepEqual([texts(again), s.lastMessage(again).base.content], [["go", "Half a"], 6]);
  const elsewhere = { ...now, activeId: 0, elsewhereId: now.activeId };
  assert.equal(joined(elsewhere, view([said("user", "go")])).elsewhereId, now.activeId);
  assert.equal(joined({ ...now, activeId: 99 }, view([said("user", "go")])), null, "its way has been left");
});

test("an answer that cannot be read on, on a way that has been left, ends there", () => {
  let state = turn(s.initial(), "go", { message: "a" }, end("stop"));
  state = s.regenerated(state, 3);
  const id = state.activeId;
  state = recovered({ ...state, messages: state.messages.slice(0, 1), others: [{ after: 1, messages: [s.lastMessage(state)] }] }, null, 5);
  assert.deepEqual([s.messageOf(state, id).reason, state.activeId, state.isBehind], ["interrupted", 0, true]);
});

test("a question that ollama refused meanwhile is refused", () => {
  const state = recovered(reopened(cut("network"), 4), [said("user", "go", { refused: true })], 5);
  assert.equal(s.lastMessage(state).failure.code, "upstream_refused");
});

test("a refused turn is deleted where it stands, and no other", () => {
  let state = turn(s.initial(), "one", { message: "1" }, end("stop"));
  state = turn(state, "bad", REFUSAL);
  state = turn(state, "two", { message: "2" }, end("stop"));
  const refused = state.messages[3];
  assert.equal(questionOf(state, refused.id).content, "bad");
  const without = withoutRefused(state, refused.id);
  assert.deepEqual([texts(without), without.isBehind], [["one", "1", "two", "2"], true]);
  assert.equal(withoutRefused(state, state.messages[1].id), state, "an answer");
  assert.equal(withoutRefused(state, state.messages[2].id), state, "a question alone");
  assert.equal(withoutRefused(state, 99), state);
  const again = s.resumed(turn(s.initial(), "bad", REFUSAL), 5);
  assert.equal(withoutRefused(again, again.activeId), again, "it is being asked again");
});

test("an edited refusal is asked at the end, and what followed it stays", () => {
  let state = turn(turn(s.initial(), "bad", REFUSAL), "two", { message: "2" }, end("stop"));
  state = withoutEditedRefusal(s.editing(state, state.messages[0].id));
  state = s.asked(state, "good", 9);
  assert.deepEqual(texts(state), ["two", "2", "good", ""]);
  assert.deepEqual(history(state).map((each) => each.content), ["two", "2", "good"]);
  const edited = s.editing(state, state.messages[0].id);
  assert.equal(withoutEditedRefusal(edited), edited, "another question's edit is as it was");
});

test("a deleted refusal stays deleted after a reload", () => {
  const state = turn(turn(s.initial(), "bad", REFUSAL), "two", { message: "2" }, end("stop"));
  const kept = unpacked(s.initial(), packed(withoutRefused(state, state.messages[1].id)).body);
  const theirs = [said("user", "bad", { refused: true }), said("user", "two"), said("assistant", "2")];
  const seen = reconciled(kept, theirs);
  assert.deepEqual([texts(seen), seen.isBehind], [["two", "2"], true]);
  assert.deepEqual(texts(reconciled(s.initial(), theirs)), ["bad", "", "two", "2"], "a fresh browser shows all");
});
