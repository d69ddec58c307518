import assert from "node:assert/strict";
import { test } from "node:test";
import { siblings } from "../../clawgate/static/core/branches.js";
import * as c from "../../clawgate/static/core/conversations.js";
import { merged, withLater } from "../../clawgate/static/core/merging.js";
import { isChanged, packed, unpacked } from "../../clawgate/static/core/packing.js";
import * as s from "../../clawgate/static/core/state.js";
import * as t from "../../clawgate/static/core/transfer.js";

const START = { session_id: "sess_1", run_id: "run_1", model: "m", message: "" };
const END = { done: true, done_reason: "stop", session_id: "sess_1", run_id: "run_1", message: "" };
const contents = (state) => state.messages.map((each) => each.content);
const play = (state, ...events) => events.reduce((now, event) => s.received(now, state.activeId, event, 5), state);
const said = (state, question, ...events) => play(s.asked(state, question, 1), START, ...events);
const base = () => said(s.begun("c_1", "sess_1", 1), "hi", { message: "a" }, END);
const copy = (state, streams = "") => {
  const { body, pictures } = structuredClone(packed(state));
  return unpacked(s.initial(), body, pictures, streams);
};

test("a title is the name, the first question's first line, or what is being written", () => {
  const state = s.begun("c_1", "sess_1", 1);
  assert.equal(c.titleOf(state), "");
  assert.equal(c.titleOf({ ...state, draft: " so \n far" }), "so");
  assert.equal(c.titleOf(said(state, "\n\n  one  \ntwo")), "one");
  assert.equal(c.titleOf({ ...base(), title: "Name" }), "Name");
  const long = c.titleOf(said(state, "👍🏽".repeat(100)));
  assert.ok([...long].length <= 80 && long.endsWith("…") && long.isWellFormed());
});

test("the list has the latest first, and neither what is removed nor what is blank", () => {
  const entry = (id, updatedAt, more) => ({ ...c.newEntry(id, null, 1), title: id, updatedAt, ...more });
  const all = [entry("a", 1), entry("b", 3), entry("c", 2), entry("d", 9, { removedAt: 5 }), entry("e", 9, { isErased: true })];
  const blank = entry("", 9);
  assert.deepEqual(c.listed([...all, blank]).map((each) => each.id), ["b", "c", "a"]);
});

test("a search wants all words, in any case and width, and shows the line", () => {
  const words = c.wordsOf(" Beijing ＡＢＣ ");
  assert.equal(c.found(["nothing"], words), null);
  assert.equal(c.found(["all of abc", "is in BEIJING"], words), "is in BEIJING");
  assert.match(c.found([`${"x".repeat(100)} beijing abc`], words), /^…x{9} beijing abc$/);
  assert.notEqual(c.found(["故宫在北京"], c.wordsOf("北京")), null);
});

test("pictures go before texts, the oldest first, and what is in use at last and never its texts", () => {
  const entry = (id, updatedAt, pictures = 0) => ({ ...c.newEntry(id, null, 1), title: id, updatedAt, pictures });
  const entries = [entry("open", 1, 2), entry("old", 2), entry("seen", 3, 1), entry("new", 4, 1)];
  const order = [];
  for (let next = c.toLetGo(entries, new Set(["open"])); next; next = c.toLetGo(entries, new Set(["open"]))) {
    order.push(`${next.id} ${next.what}`);
    const chosen = entries.find((each) => each.id === next.id);
    if (next.what === "pictures") chosen.pictures = 0;
    else chosen.isErased = true;
  }
  assert.deepEqual(order, ["seen pictures", "new pictures", "old conversation", "seen conversation", "new conversation", "open pictures"]);
});

test("everything is kept, what other parts add too, but for what is the page's own", () => {
  const state = { ...base(), settings: { ...s.initial().settings, system: "Be short." }, future: { a: 1 }, models: ["x"], link: "connected", nextId: 12 };
  state.messages[0].images = ["AAAA"];
  const { body, pictures } = packed(state);
  assert.deepEqual([pictures, body.messages[0].images], [{ 1: ["AAAA"] }, []]);
  const back = unpacked({ ...s.initial(), link: "waiting" }, structuredClone(body), pictures);
  assert.deepEqual([back.settings, back.future, back.models, back.link, back.nextId], [state.settings, state.future, [], "waiting", 12]);
  assert.deepEqual([back.messages[0].images, contents(back)], [["AAAA"], ["hi", "a"]]);
});

test("the link and the run are no change of what is kept", () => {
  const state = base();
  assert.equal(isChanged(state, { ...state, link: "waiting", runId: "x", isFull: true, nextId: 99 }), false);
  assert.equal(isChanged(state, { ...state, draft: "x" }), true);
});

test("an answer that streams in another window is shown as one, and can be interrupted", () => {
  const begun = s.asked(base(), "more", 1);
  const theirs = s.received(s.received(begun, begun.activeId, START, 5, "run_1:1"), begun.activeId, { message: "b" }, 5, "run_1:2");
  const seen = copy(theirs, "elsewhere");
  const last = s.lastMessage(seen);
  assert.deepEqual([seen.elsewhereId, seen.activeId, seen.runId, last.phase], [last.id, 0, "run_1", "text"]);
  assert.deepEqual([s.isStreaming(seen, last), s.canInterrupt(seen)], [true, true]);
  const cut = s.asked(seen, "and?", 5);
  assert.deepEqual([cut.messages[3].reason, cut.elsewhereId], ["superseded", 0]);
  assert.deepEqual([s.abandoned(seen, 5).elsewhereId, s.lastMessage(s.abandoned(seen, 5)).reason], [0, "interrupted"]);
  assert.equal(s.lastMessage(copy(theirs)).reason, "interrupted");
  const here = copy(theirs, "here");
  assert.deepEqual([here.activeId, here.elsewhereId, here.runId, s.lastMessage(here).place], [last.id, 0, "run_1", "run_1:2"]);
  assert.equal(copy(copy(theirs, "elsewhere"), "here").activeId, last.id, "whoever writes it, it streams");
});

test("the messages of an answer that another window keeps are not this window's to keep", () => {
  const seen = copy(said(base(), "more", { message: "b" }), "elsewhere");
  const more = s.received(seen, seen.elsewhereId, { message: "c" }, 5);
  assert.deepEqual([isChanged(seen, more), isChanged(seen, { ...more, draft: "x" })], [false, true]);
  const ended = s.received(more, seen.elsewhereId, END, 5);
  assert.deepEqual([isChanged(seen, ended), isChanged(seen, ended, seen.elsewhereId)], [true, false]);
  const longer = [...ended.messages, ended.messages[0]];
  assert.equal(isChanged(seen, { ...ended, messages: longer }, seen.elsewhereId), true, "something was added here");
});

test("of two copies of an answer the one that has more of its run is the later", () => {
  const begun = s.asked(base(), "more", 1);
  const at = (state, number, event) => s.received(state, begun.activeId, event, 5, `run_1:${number}`);
  const old = at(begun, 1, START);
  const behind = at(old, 9, { thinking: "h", message: "" });
  const ahead = at(behind, 10, { thinking: "m", message: "" });
  for (const [mine, theirs] of [[ahead, copy(behind, "elsewhere")], [copy(behind, "elsewhere"), copy(ahead, "elsewhere")]]) {
    assert.equal(s.lastMessage(merged({ ...mine, activeId: 0 }, theirs, old)).thinking, "hm");
    assert.equal(s.lastMessage(withLater(theirs, s.lastMessage(mine))).thinking, "hm");
  }
});

test("the copy that has gone on is shown, whichever it is, with the longer texts", () => {
  const old = base();
  const long = said(old, "more", { message: "long" }, { ...END, done_reason: "superseded" });
  const short = said(said(old, "more", { message: "lo" }), "and?", { message: "c" });
  for (const [mine, theirs] of [[long, copy(short)], [short, copy(long)]]) {
    const both = merged(mine, theirs, old);
    assert.deepEqual([contents(both), both.others, both.isBehind], [["hi", "a", "more", "long", "and?", "c"], [], false]);
  }
});

test("two copies that have both gone on become two ways, and nothing is lost", () => {
  const old = base();
  const mine = said(old, "mine", { message: "m" }, END);
  const theirs = said(old, "theirs", { message: "t" }, END);
  const both = merged(mine, copy(theirs), old);
  assert.deepEqual([contents(both), both.isBehind], [["hi", "a", "mine", "m"], true]);
  assert.deepEqual(both.others.map((tail) => [tail.after, contents(tail)]), [[2, ["theirs", "t"]]]);
  assert.equal(siblings(both, both.messages[2].id).length, 2);
  assert.equal(new Set([...both.messages, ...both.others[0].messages].map((each) => each.id)).size, 6);
  assert.equal(merged(both, copy(both), both).others.length, 1, "once more changes nothing");
  const back = merged(copy(theirs), copy(both), old);
  assert.deepEqual([contents(back), back.others.length], [["hi", "a", "theirs", "t"], 1]);
});

test("a question that is edited into a longer one is another question, and the one before stays", () => {
  const old = base();
  const theirs = said(s.editing(old, 1), "hi there", { message: "b" }, END);
  const both = merged(said(old, "more", { message: "c" }, END), copy(theirs), old);
  assert.deepEqual(contents(both), ["hi", "a", "more", "c"]);
  assert.deepEqual(both.others.map(contents), [["hi there", "b"]]);
});

test("an answer that was superseded by another copy leaves its way to that one", () => {
  const old = base();
  const asked = said(old, "more", { message: "c" });
  const mine = play(asked, { ...END, done_reason: "superseded" });
  const theirs = play(s.regenerated(asked, 1, 2), START, { message: "b" }, END);
  const both = merged(mine, copy(theirs), asked);
  assert.deepEqual([contents(both), both.isBehind], [["hi", "b"], false]);
  assert.deepEqual(both.others.map(contents), [["a", "more", "c"]]);
});

test("branches of both copies stay", () => {
  const old = base();
  const mine = play(s.regenerated(old, 1), START, { message: "b" }, END);
  const theirs = play(s.asked(s.editing(old, 1), "ho", 1), START, { message: "c" }, END);
  const both = merged(mine, copy(theirs), old);
  const all = [both.messages, ...both.others.map((tail) => tail.messages)].flat();
  assert.deepEqual(all.map((each) => each.content).sort(), ["a", "b", "c", "hi", "ho"]);
  assert.equal(siblings(both, 1).length, 2);
  assert.equal(siblings(both, both.messages[1].id).length, 2);
});

test("an answer that streams here is not replaced by what another window has of it", () => {
  const mine = said(base(), "more", { message: "b" });
  const both = merged(mine, { ...copy(mine), title: "Name" }, mine);
  assert.deepEqual([s.lastMessage(both).phase, both.activeId, both.title], ["text", mine.activeId, "Name"]);
});

const file = (...conversations) => t.jsonHead("2026-01-01") + conversations.join(",") + t.JSON_TAIL;

test("what is exported comes back whole, without what would let its reader into the session", () => {
  let state = play(s.regenerated(base(), 1), START, { message: "b" }, END);
  state = { ...state, title: "Name", settings: { ...s.initial().settings, system: "x" }, draft: "secret" };
  state.messages[0].images = ["AAAA"];
  state.messages[1].place = "run_1:3";
  const { body, pictures } = packed(state);
  const text = file(t.toJson(body, pictures));
  assert.ok(!/sess_1|secret|c_1|run_1/.test(text));
  const [back] = t.fromJson(text);
  assert.deepEqual([back.title, back.settings, back.messages[0].images], ["Name", state.settings, ["AAAA"]]);
  assert.deepEqual(contents(back.others[0]), ["a"]);
});

test("a file that is not as it should be is named, and what is wrong in it", () => {
  const message = { id: 1, role: "user", content: "x" };
  const one = (/** @type {object} */ more) => file(JSON.stringify({ messages: [message], ...more }));
  const wrong = (/** @type {object} */ more) => one({ messages: [message, { ...message, id: 2, ...more }] });
  for (const [text, key, place] of [
    ["{", "import.json"],
    ["[]", "import.foreign"],
    ['{"format":"other","conversations":[]}', "import.foreign"],
    [file().replace('"version":1', '"version":7'), "import.version"],
    [file("3"), "import.field", "conversations[0]"],
    [one({ messages: null }), "import.field", "conversations[0].messages"],
    [one({ title: 3 }), "import.field", "conversations[0].title"],
    [one({ settings: "x" }), "import.field", "conversations[0].settings"],
    [wrong({ id: 1 }), "import.field", "conversations[0].messages[1].id"],
    [wrong({ role: "tool" }), "import.field", "conversations[0].messages[1].role"],
    [wrong({ content: undefined }), "import.field", "conversations[0].messages[1].content"],
    [wrong({ tools: [3] }), "import.field", "conversations[0].messages[1].tools"],
    [wrong({ id: Number.MAX_SAFE_INTEGER }), "import.field", "conversations[0].messages[1].id"],
    [wrong({ images: ["\"><script>"] }), "import.field", "conversations[0].messages[1].images"],
    [wrong({ stats: { context: 5 } }), "import.field", "conversations[0].messages[1].stats"],
    [wrong({ stats: { context: { used: null, size: 1 } } }), "import.field", "conversations[0].messages[1].stats"],
    [wrong({ stats: { eval_count: "9" } }), "import.field", "conversations[0].messages[1].stats"],
    [one({ others: [{ after: -1, messages: [] }] }), "import.field", "conversations[0].others[0].after"],
  ]) {
    assert.throws(() => t.fromJson(text), (error) => error.key === key && error.values.place === place, text);
  }
  assert.equal(t.fromJson(one({ future: 1 }))[0].future, 1);
  assert.ok(t.isSound({ messages: [message], others: [] }) && !t.isSound({ messages: [null] }) && !t.isSound({ messages: [], others: {} }));
});

test("a file sends nothing by itself, sets nothing unseen, and cannot make ids run out", () => {
  const message = { id: 7, role: "user", content: "x" };
  const settings = { system: "s", model: 5, options: { num_gpu: 0, seed: 3, temperature: "hot", num_ctx: 1e99, stop: [5] }, __proto__: null };
  const given = JSON.stringify({ messages: [message], settings, queue: [{ content: "rob" }], nextId: 0 });
  const hostile = given.replace('"nextId":0', '"nextId":1e999,"__proto__":{"isHostile":true}');
  const [body] = t.fromJson(file(hostile));
  const state = unpacked(base(), body);
  assert.deepEqual([state.queue, state.nextId, state.settings.model], [[], 8, ""]);
  assert.deepEqual(state.settings.options, { seed: 3 });
  assert.equal({}.isHostile, undefined);
  assert.equal(state.isHostile, undefined);
});

test("Markdown is to be read", () => {
  const labels = { you: "You", assistant: "Answer", untitled: "New", interrupted: "Interrupted", pictures: "with pictures" };
  const state = said(base(), "more", { message: "b" }, { ...END, done_reason: "interrupted" });
  assert.equal(
    t.toMarkdown(packed(state).body, labels),
    "# hi\n\n## You\n\nhi\n\n## Answer\n\na\n\n## You\n\nmore\n\n## Answer\n\nb\n\n*Interrupted*\n",
  );
});
