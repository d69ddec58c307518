import assert from "node:assert/strict";
import { test } from "node:test";
import { siblings, switched } from "../../clawgate/static/core/branches.js";
import { history, orderFor, reconciled } from "../../clawgate/static/core/history.js";
import { packed, unpacked } from "../../clawgate/static/core/packing.js";
import * as m from "../../clawgate/static/core/message.js";
import * as s from "../../clawgate/static/core/state.js";

const START = { session_id: "sess_1", run_id: "run_1", model: "m", message: "" };
const END = { done: true, done_reason: "stop", session_id: "sess_1", run_id: "run_1", stats: { eval_count: 2 }, message: "" };
const end = (reason) => ({ ...END, done_reason: reason });

function play(state, ...events) {
  const id = state.activeId;
  return events.reduce((now, event) => s.received(now, id, event, 5000), state);
}
const conversation = (...events) => play(s.asked(s.initial(), "hi", 1000), START, ...events);

test("an answer grows by its texts and ends once", () => {
  const state = conversation({ message: "a" }, { ping: "keepalive" }, { message: "b" }, END);
  const answer = s.lastMessage(state);
  assert.equal(answer.content, "ab");
  assert.deepEqual([answer.phase, answer.reason, state.activeId, state.runId], ["done", "stop", 0, ""]);
  assert.equal(state.sessionId, "sess_1");
});

test("the functions leave the state that they were given as it was", () => {
  const before = conversation({ message: "a" });
  const copy = structuredClone(before);
  play(before, { message: "b" }, END);
  s.asked(before, "x", 1);
  s.regenerated(before, 1);
  s.failed(before, before.activeId, { code: "network", message: "" }, 1);
  assert.deepEqual(before, copy);
});

test("thinking counts its time until the first text", () => {
  let state = s.asked(s.initial(), "hi", 0);
  const id = state.activeId;
  for (const [event, now] of [[START, 0], [{ thinking: "h", message: "" }, 1000], [{ thinking: "m", message: "" }, 2000], [{ message: "A" }, 4000]]) {
    state = s.received(state, id, event, now);
  }
  const answer = s.lastMessage(state);
  assert.deepEqual([answer.thinking, answer.thoughtMs, answer.content, answer.phase], ["hm", 3000, "A", "text"]);
});

test("thinking that is restarted is void", () => {
  const state = conversation({ thinking: "x", message: "" }, { status: "waiting", attempt: 2, message: "" }, { status: "restarted", message: "" });
  assert.deepEqual([s.lastMessage(state).thinking, s.lastMessage(state).attempt], ["", 0]);
});

test("waiting for a model that is unloaded is another waiting", () => {
  const waits = (/** @type {string} */ reason) => conversation({ status: "waiting", reason, attempt: 2, message: "" });
  assert.equal(s.lastMessage(waits("upstream_timeout")).isUnloading, true);
  assert.equal(s.lastMessage(waits("upstream_unreachable")).isUnloading, false);
});

test("waiting for an evaluation counts from the question, and ends with the first text", () => {
  let state = s.asked(s.initial(), "hi", 1000);
  const id = state.activeId;
  state = s.received(state, id, { status: "waiting", reason: "evaluating", attempt: 1, message: "" }, 3000);
  assert.deepEqual([s.lastMessage(state).isEvaluating, s.lastMessage(state).askedAt], [true, 1000]);
  state = s.received(state, id, { status: "waiting", reason: "upstream_unreachable", attempt: 2, message: "" }, 4000);
  assert.equal(s.lastMessage(state).isEvaluating, false);
  state = s.received(state, id, { status: "waiting", reason: "evaluating", attempt: 2, message: "" }, 5000);
  assert.equal(s.lastMessage(s.received(state, id, { message: "a" }, 6000)).attempt, 0);
});

test("waiting keeps its attempt until something comes", () => {
  const waiting = conversation({ message: "a" }, { status: "waiting", attempt: 3, message: "" });
  assert.equal(s.lastMessage(waiting).attempt, 3);
  assert.equal(s.lastMessage(play(waiting, { message: "b" })).attempt, 0);
});

test("a question during an answer cuts it off, and its last words still reach it", () => {
  let state = conversation({ message: "a" });
  const first = state.activeId;
  state = s.asked(state, "next", 6000);
  state = s.received(state, first, { message: "b" }, 6000);
  state = s.received(state, first, end("superseded"), 6000);
  assert.deepEqual(state.messages.map((each) => each.content), ["hi", "ab", "next", ""]);
  assert.equal(state.messages[1].reason, "superseded");
  assert.notEqual(state.activeId, 0);
});

test("a run's start after it was cut off does not become the active one", () => {
  const first = s.asked(s.initial(), "hi", 0);
  const state = s.received(s.asked(first, "next", 0), first.activeId, START, 0);
  assert.equal(state.runId, "");
});

test("an interrupt is wanted once, and only while something streams", () => {
  const state = s.interrupting(conversation());
  assert.equal(state.isInterrupting, true);
  assert.equal(s.canInterrupt(state), false);
  assert.equal(s.canInterrupt(play(state, end("interrupted"))), false);
  assert.equal(s.interrupting(s.initial()).isInterrupting, false);
});

test("an answer that stopped early can be continued, one that stopped by itself cannot", () => {
  for (const [reason, can] of [["stop", false], ["interrupted", true], ["length", true], ["truncated", true], ["superseded", true]]) {
    const state = conversation({ message: "a" }, end(reason));
    assert.equal(s.canContinue(state, s.lastMessage(state)), can, reason);
  }
});

test("going on keeps the text and drops the failure", () => {
  const state = s.resumed(conversation({ message: "a" }, { ...end("error"), error: { code: "upstream_stalled", message: "" } }), 7000);
  assert.deepEqual([s.lastMessage(state).content, s.lastMessage(state).failure, s.lastMessage(state).phase], ["a", null, "waiting"]);
  assert.deepEqual(orderFor(state, "continue", null), { continue: true, session_id: "sess_1" });
});

test("a follow-up sends only itself; think only where it is known", () => {
  const state = s.asked(conversation({ message: "a" }, END), "more", 0);
  assert.deepEqual(orderFor(state, "message", null), { message: "more", session_id: "sess_1" });
  assert.equal(orderFor(state, "message", false).think, false);
});

test("after a failed request everything is sent", () => {
  let state = conversation({ message: "a" }, END);
  state = s.asked(state, "more", 0);
  state = s.failed(state, state.activeId, { code: "busy", message: "" }, 0);
  state = s.resumed(state, 0);
  assert.deepEqual(orderFor(state, "continue", null).messages.map((each) => each.content), ["hi", "a", "more"]);
});

test("regenerating sets the answer aside and sends the history before it", () => {
  const state = s.regenerated(conversation({ message: "a" }, END), 0);
  assert.deepEqual(orderFor(state, "message", null), { messages: [{ role: "user", content: "hi" }], session_id: "sess_1" });
});

test("an edited question replaces itself and what followed", () => {
  let state = conversation({ message: "a" }, END);
  state = s.asked(s.editing(state, s.lastQuestion(state).id), "ho", 0);
  assert.deepEqual(state.messages.map((each) => each.content), ["ho", ""]);
  assert.deepEqual(orderFor(state, "message", null).messages, [{ role: "user", content: "ho" }]);
});

test("the history holds a partial answer, and no empty one", () => {
  const state = s.asked(conversation({ message: "par" }), "next", 0);
  assert.deepEqual(history(state).map((each) => each.role), ["user", "assistant", "user"]);
});

test("what is kept comes back, an answer in flight as interrupted", () => {
  const state = unpacked(s.initial(), packed(conversation({ message: "par" })).body);
  assert.deepEqual(state.messages.map((each) => [each.content, each.phase, each.reason]), [["hi", "done", ""], ["par", "done", "interrupted"]]);
  assert.equal(state.activeId, 0);
  for (const broken of [null, undefined, "", {}, [], { messages: "a" }]) {
    assert.deepEqual(unpacked(s.initial(), broken), s.initial(), String(broken));
  }
});

test("the server's longer partial answer wins over the browser's", () => {
  const state = reconciled(unpacked(s.initial(), packed(conversation({ message: "par" })).body), [
    { role: "user", content: "hi" },
    { role: "assistant", content: "partial", interrupted: true },
  ]);
  assert.equal(s.lastMessage(state).content, "partial");
  assert.equal(s.lastMessage(state).reason, "interrupted");
});

test("turns that the server has trimmed stay in view", () => {
  let state = s.asked(conversation({ message: "a" }, END), "more", 0);
  state = play(state, START, { message: "b" }, END);
  const back = reconciled(state, [{ role: "user", content: "more" }, { role: "assistant", content: "b" }]);
  assert.deepEqual(back.messages.map((each) => each.content), ["hi", "a", "more", "b"]);
  assert.equal(back.isBehind, false);
});

test("what never reached the server stays, and goes with the next message", () => {
  let state = s.asked(conversation({ message: "a" }, END), "more", 0);
  state = s.failed(state, state.activeId, { code: "network", message: "" }, 0);
  const back = reconciled({ ...state, isBehind: false }, [{ role: "user", content: "hi" }, { role: "assistant", content: "a" }]);
  assert.equal(back.messages.length, 4);
  assert.equal(back.isBehind, true);
});

test("another conversation on the server is shown, and the browser's is set aside", () => {
  const back = reconciled(conversation({ message: "a" }, END), [{ role: "user", content: "else" }, { role: "assistant", content: "" , interrupted: true }]);
  assert.deepEqual(back.messages.map((each) => [each.content, each.reason]), [["else", ""], ["", "interrupted"]]);
  assert.deepEqual(contents(switched(back, back.messages[0].id, -1).messages), ["hi", "a"]);
});

test("a way that the reader has chosen since is not replaced by the server's", () => {
  const state = { ...conversation({ message: "a" }, END), isBehind: true };
  assert.equal(reconciled(state, [{ role: "user", content: "else" }, { role: "assistant", content: "b" }]), state);
});

test("what the server knows more is added, behind the turns that it has dropped", () => {
  let state = s.asked(conversation({ message: "a" }, END), "more", 0);
  state = play(state, START, { message: "b" }, end("interrupted"));
  const theirs = [["user", "more"], ["assistant", "bb"], ["user", "next"], ["assistant", "c"]];
  const back = reconciled(state, theirs.map(([role, content]) => ({ role, content })));
  assert.deepEqual(contents(back.messages), ["hi", "a", "more", "bb", "next", "c"]);
  assert.deepEqual([back.others, back.messages[3].reason], [[], "stop"]);
});

test("an edited question and an answer made again stay reachable, at every depth", () => {
  let state = conversation({ message: "a" }, END);
  const [question, answer] = state.messages.map((each) => each.id);
  state = play(s.regenerated(state, 0), START, { message: "b" }, END);
  const again = state.messages[1].id;
  assert.deepEqual(siblings(state, again), [answer, again]);
  state = play(s.asked(s.editing(state, question), "ho", 0), START, { message: "c" }, END);
  assert.deepEqual(contents(state.messages), ["ho", "c"]);
  assert.equal(siblings(state, state.messages[0].id).length, 2);
  assert.deepEqual(siblings(state, state.messages[1].id), [state.messages[1].id]);
  state = switched(state, state.messages[0].id, -1);
  assert.deepEqual([contents(state.messages), state.isBehind], [["hi", "b"], true]);
  state = switched(state, again, -1);
  assert.deepEqual(contents(state.messages), ["hi", "a"]);
  assert.equal(switched(state, answer, -1), state);
  state = switched(switched(state, answer, 1), question, 1);
  assert.deepEqual(contents(state.messages), ["ho", "c"]);
  assert.equal(state.others.length, 2);
});

test("any answer is made again, not only the last one", () => {
  let state = play(s.asked(conversation({ message: "a" }, END), "more", 1), START, { message: "b" }, END);
  const first = state.messages[1];
  assert.equal(s.canRegenerate(state, first), true);
  state = s.regenerated(state, 0, first.id);
  assert.deepEqual(contents(state.messages), ["hi", ""]);
  assert.deepEqual(contents(state.others[0].messages), ["a", "more", "b"]);
  assert.equal(s.regenerated(state, 0, first.id), state, "pressed twice");
});

test("an answer whose way has been left grows where it is", () => {
  let state = s.regenerated(conversation({ message: "a" }, END), 0);
  const id = state.activeId;
  state = s.received(switched(state, id, -1), id, START, 0);
  state = s.received(s.received(state, id, { message: "b" }, 0), id, END, 0);
  assert.deepEqual([contents(state.messages), state.activeId, state.isBehind], [["hi", "a"], 0, true]);
  assert.deepEqual(contents(switched(state, state.messages[1].id, 1).messages), ["hi", "b"]);
});

test("an answer without a word is no other way", () => {
  const state = conversation(end("interrupted"));
  assert.deepEqual(s.regenerated(state, 0).others, []);
});

test("the draft outlives an edit", () => {
  let state = s.drafted(conversation({ message: "a" }, END), "later");
  state = s.drafted(s.editing(state, state.messages[0].id), "ho");
  assert.deepEqual([state.draft, state.edit], ["later", "ho"]);
  assert.deepEqual([s.editing(state, 0).draft, s.editing(state, 0).edit], ["later", ""]);
  state = s.asked(state, "ho", 0);
  assert.deepEqual([state.draft, state.edit, state.editingId], ["later", "", 0]);
});

test("a session that the server has forgotten goes on with everything", () => {
  assert.equal(reconciled(conversation({ message: "a" }, END), null).isBehind, true);
});

test("the link says what is down", () => {
  const status = (reachable, model_ready, streams = 0) => ({ upstream: { reachable, model_ready }, streams, max_streams: 2 });
  assert.equal(s.linked(s.initial(), status(true, true)).link, "connected");
  assert.equal(s.linked(s.initial(), status(true, false)).link, "missing");
  assert.equal(s.linked(s.initial(), status(false, false)).link, "waiting");
  assert.equal(s.linked(s.initial(), null).link, "disconnected");
  assert.equal(s.linked(s.initial(), status(true, true, 2)).isFull, true);
});

test("a connection that broke when the page was left is no failure after the reload", () => {
  const cut = s.failed(conversation({ message: "par" }), 2, { code: "network", message: "" }, 0);
  const back = reconciled(cut, [{ role: "user", content: "hi" }, { role: "assistant", content: "par", interrupted: true }]);
  assert.deepEqual([s.lastMessage(back).reason, s.lastMessage(back).failure], ["interrupted", null]);
});

const REFUSAL = { ...end("error"), error: { code: "upstream_refused", message: "Ollama refused this message: too long" } };
const contents = (messages) => messages.map((each) => each.content);

test("a refused question is in no history but the one that asks it again", () => {
  const refused = play(s.asked(conversation({ message: "a" }, END), "too long", 1), START, REFUSAL);
  assert.deepEqual(contents(history(refused)), ["hi", "a"]);
  assert.deepEqual(orderFor(s.resumed(refused, 1), "continue", null), { continue: true, session_id: "sess_1" });
  assert.deepEqual(contents(history(s.resumed(refused, 1))), ["hi", "a", "too long"]);
  assert.deepEqual(contents(history(s.asked(refused, "next", 1))), ["hi", "a", "next"]);
  assert.deepEqual(contents(history(s.asked(s.editing(refused, refused.messages[2].id), "shorter", 1))), ["hi", "a", "shorter"]);
});

test("a refused question counts again once the model says something to it", () => {
  const again = s.resumed(conversation(REFUSAL), 1);
  for (const said of [{ message: "a" }, { thinking: "hm", message: "" }, END]) {
    assert.deepEqual(contents(history(s.asked(play(again, START, said, said === END ? END : end("interrupted")), "next", 1)))[0], "hi");
  }
  const failed = play(again, START, { ...end("error"), error: { code: "upstream_error", message: "" } });
  assert.deepEqual(contents(history(s.asked(failed, "next", 1))), ["next"]);
});

test("going on with a text that is refused leaves its question in the history", () => {
  const half = conversation({ message: "half" }, end("interrupted"));
  assert.deepEqual(contents(history(play(s.resumed(half, 1), START, REFUSAL))), ["hi", "half"]);
});

test("a refused question comes back with its refusal", () => {
  const theirs = [
    { role: "user", content: "hi" },
    { role: "assistant", content: "a" },
    { role: "user", content: "too long", refused: true },
  ];
  const own = play(s.asked(conversation({ message: "a" }, END), "too long", 1), START, REFUSAL);
  assert.deepEqual(reconciled(own, theirs), own);
  const bare = reconciled({ ...s.initial(), sessionId: "sess_1" }, theirs);
  const last = s.lastMessage(bare);
  assert.deepEqual([last.role, last.content, last.isRefused, last.failure.code], ["assistant", "", true, "upstream_refused"]);
  assert.deepEqual(contents(history(bare)), ["hi", "a"]);
  const unaware = play(s.asked(conversation({ message: "a" }, END), "too long", 1), START, end("interrupted"));
  assert.equal(s.lastMessage(reconciled(unaware, theirs)).failure.code, "upstream_refused");
  const later = [...theirs, { role: "user", content: "so?" }, { role: "assistant", content: "b" }];
  assert.deepEqual(contents(reconciled(s.initial(), later).messages), ["hi", "a", "too long", "", "so?", "b"]);
});

test("a model that cannot go on is asked anew", () => {
  const half = conversation({ message: "half" }, end("interrupted"));
  assert.equal(s.mustBeginAnew(half), false);
  const state = s.failed(s.resumed(half, 1), half.messages[1].id, { code: "cannot_continue", message: "" }, 1);
  assert.equal(s.mustBeginAnew(state), true);
});

test("an answer without a word is empty, and no other is", () => {
  const ended = (...events) => m.isEmpty(s.lastMessage(conversation(...events)));
  assert.equal(ended({ ...END, empty: true }), true);
  assert.equal(ended({ thinking: "h", message: "" }, { message: " \n" }, { ...END, empty: true }), true);
  assert.equal(ended({ message: "a" }, END), false);
  assert.equal(ended({ tool_calls: [{ function: { name: "f" } }], message: "" }, END), false);
  assert.equal(ended(end("length")), false);
  assert.equal(ended(end("interrupted")), false);
  assert.equal(ended(), false);
});

test("a context is worth a word where it is nearly full", () => {
  const percent = (used, size, full) => m.contextPercent({ context: { used, size }, ...(full ? { context_full: true } : {}) });
  assert.deepEqual([percent(100, 4096), percent(3686, 4096), percent(3687, 4096), percent(4095, 4096)], [0, 0, 90, 99]);
  assert.deepEqual([percent(4096, 4096), percent(9000, 4096), percent(4096, 4096, true)], [100, 100, 100]);
  assert.equal(m.contextPercent({ eval_count: 3 }), 0);
});
