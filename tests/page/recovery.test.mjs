import assert from "node:assert/strict";
import { test } from "node:test";
import { history, reconciled } from "../../clawgate/static/core/history.js";
import { packed, unpacked } from "../../clawgate/static/core/packing.js";
import { isCutOff, questionOf, recovered, withoutEditedRefusal, withoutRefused } from "../../clawgate/static/core/recovery.js";
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
    const before = cut("network", { message: "Half" });
    const answer = s.lastMessage(recovered(before, given));
    assert.deepEqual([answer.content, answer.reason, answer.failure], [content, reason, null]);
    assert.equal(recovered(before, given).isBehind, isBehind);
    assert.deepEqual(recovered(before, given).messages.map((each) => each.id), before.messages.map((each) => each.id));
  }
});

test("what the gateway, or Ollama, said of an answer stays, and so does one that streams", () => {
  for (const code of ["upstream_error", "busy", "unauthorized", "upstream_refused"]) {
    const state = cut(code, { message: "Half" });
    assert.equal(isCutOff(state), false);
    assert.equal(recovered(state, null), state);
  }
  for (const code of ["network", "proxy", "sign_in", "shutting_down"]) assert.equal(isCutOff(cut(code)), true);
  const again = s.resumed(cut("network"), 4);
  assert.equal(recovered(again, null), again);
  assert.equal(recovered(s.initial(), null).messages.length, 0);
});

test("a question that ollama refused meanwhile is refused", () => {
  const state = recovered(cut("network"), [said("user", "go", { refused: true })]);
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
