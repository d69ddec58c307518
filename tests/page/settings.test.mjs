import assert from "node:assert/strict";
import { test } from "node:test";
import { history, orderFor } from "../../clawgate/static/core/history.js";
import { packed, unpacked } from "../../clawgate/static/core/packing.js";
import * as c from "../../clawgate/static/core/settings.js";
import * as s from "../../clawgate/static/core/state.js";

const START = { session_id: "sess_1", run_id: "run_1", model: "m", message: "" };
const END = { done: true, done_reason: "stop", stats: {}, message: "" };
const BLIND = { name: "blind", thinking: false, vision: false };
const SEEING = { name: "seeing", thinking: null, vision: true };
const answered = (state) => {
  const id = state.activeId;
  return [START, { message: "a" }, END].reduce((now, event) => s.received(now, id, event, 1), state);
};
const talk = () => answered(s.asked(s.initial(), "hi", 0));

test("a number is read as it is typed, and a wrong one is told from none", () => {
  const [wide, whole] = [c.PARAMETERS.temperature, c.PARAMETERS.num_predict];
  for (const [typed, value] of [["", null], [" 0.7 ", 0.7], ["0,7", 0.7], ["０．５", 0.5], [".5", 0.5], ["2", 2], ["0", 0]]) {
    assert.equal(c.readNumber(typed, wide), value, typed);
  }
  for (const typed of ["2.1", "-1", "x", "1e0", "0x1", "1 2", "NaN", "Infinity", "--1", "."]) {
    assert.equal(c.readNumber(typed, wide), undefined, typed);
  }
  assert.deepEqual(["-1", "512", "1.5", "-3"].map((each) => c.readNumber(each, whole)), [-1, 512, undefined, undefined]);
});

test("options are the right ones of what is typed, with the names of the wrong ones", () => {
  const typed = { temperature: "0.2", num_ctx: "9.5", seed: "", stop: "END\n\n\\n\\nUser:" };
  const { options, wrong } = c.readOptions(typed);
  assert.deepEqual([options, wrong], [{ temperature: 0.2, stop: ["END", "\n\nUser:"] }, ["num_ctx"]]);
  assert.equal(c.writtenStops(options), "END\n\\n\\nUser:");
  assert.deepEqual(c.readOptions({ stop: "x\n".repeat(9) }).wrong, ["stop"]);
  assert.deepEqual(c.readOptions({}), { options: {}, wrong: [] });
});

test("settings go with each request, and the prompt with the whole conversation", () => {
  let state = c.configured(talk(), { options: { temperature: 0 } });
  assert.equal(state.isBehind, false, "options go with each request");
  assert.deepEqual(orderFor(s.asked(state, "b", 2), "message", true).options, { temperature: 0 });
  state = c.configured(state, { system: "Be brief." });
  const order = orderFor(s.asked(state, "b", 2), "message", null);
  assert.deepEqual(order.messages.map(({ role }) => role), ["system", "user", "assistant", "user"]);
  assert.equal(order.messages[0].content, "Be brief.");
  const first = orderFor(s.asked(c.configured(s.initial(), { system: "Be brief." }), "a", 0), "message", null);
  assert.deepEqual(first.messages, [{ role: "system", content: "Be brief." }, { role: "user", content: "a" }]);
  assert.ok(Object.isFrozen(state.settings));
});

test("a model is asked for while the gateway allows it", () => {
  const state = c.configured({ ...talk(), models: [BLIND, SEEING] }, { model: "seeing" });
  assert.equal(orderFor(s.asked(state, "b", 2), "message", null).model, "seeing");
  assert.equal(c.modelOf(state), SEEING);
  const gone = { ...state, models: [BLIND] };
  assert.equal("model" in orderFor(s.asked(gone, "b", 2), "message", null), false);
  assert.equal(c.modelOf(gone), BLIND);
  assert.equal(orderFor(s.asked({ ...state, models: [] }, "b", 2), "message", null).model, "seeing", "not known yet");
  assert.equal(c.modelOf(s.initial()), null);
});

test("pictures go with their message, and with the history as far as they fit and the model sees", () => {
  let state = s.asked(s.initial(), "what is it?", 0, ["AAAA"]);
  assert.deepEqual(orderFor(state, "message", null).message, { role: "user", content: "what is it?", images: ["AAAA"] });
  state = s.asked({ ...answered(state), isBehind: true }, "and this?", 2, ["BBBBBB"]);
  const pictures = (most, models = []) =>
    orderFor({ ...state, models }, "message", null, most).messages.map(({ images }) => images?.length ?? 0);
  assert.deepEqual(pictures(10), [1, 0, 1]);
  assert.deepEqual(pictures(9), [0, 0, 1], "the oldest goes");
  assert.deepEqual(pictures(99, [BLIND]), [0, 0, 0]);
  assert.deepEqual(history(state).map(({ content }) => content), ["what is it?", "a", "and this?"]);
});

test("settings, pictures and the queue are kept, and what an older page kept has its defaults", () => {
  const set = c.configured(s.asked(s.initial(), "a", 0, ["AAAA"]), { system: "s", options: { seed: 1 }, think: false });
  const { body, pictures } = packed({ ...set, queue: [{ id: 9, content: "q", images: [] }] });
  const back = unpacked(s.initial(), body, pictures);
  assert.deepEqual(back.settings, set.settings);
  assert.deepEqual(back.messages[0].images, ["AAAA"]);
  assert.deepEqual(back.queue.map(({ content }) => content), ["q"]);
  const old = unpacked(s.initial(), { messages: [{ id: 1, role: "user", content: "a" }] });
  assert.deepEqual([old.settings, old.queue, old.messages[0].images], [c.DEFAULTS, [], []]);
  assert.deepEqual(c.settingsOf({ system: 5, options: "x" }), c.DEFAULTS);
});

test("a conversation that begins after another can take over its settings, and nothing else", () => {
  const { settings } = c.configured(talk(), { system: "s" });
  const next = s.begun("c_2", "sess_2", 1, settings);
  assert.deepEqual([next.settings.system, next.messages, next.queue, next.isBehind], ["s", [], [], true]);
  assert.equal(s.begun("c_3", "sess_3", 1).settings, c.DEFAULTS);
});
