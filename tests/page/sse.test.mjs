import assert from "node:assert/strict";
import { test } from "node:test";
import { createParser } from "../../clawgate/static/core/sse.js";

const STREAM = new TextEncoder().encode(
  'id: run_1:1\ndata: {"message":"春光🌸"}\n\n: a comment\ndata: {"ping":"keepalive"}\n\n' +
    'id: run_1:2\r\nevent: error\r\ndata: one\r\ndata:two\r\n\r\ndata\n\nretry: 5\n\ndata: a:b\r\rdata: cut',
);
const EVENTS = [
  { id: "run_1:1", event: "message", data: '{"message":"春光🌸"}' },
  { id: "run_1:1", event: "message", data: '{"ping":"keepalive"}' },
  { id: "run_1:2", event: "error", data: "one\ntwo" },
  { id: "run_1:2", event: "message", data: "" },
  { id: "run_1:2", event: "message", data: "a:b" },
];

test("a stream gives its events", () => {
  assert.deepEqual(createParser().feed(STREAM), EVENTS);
});

test("a stream gives the same events when it is cut at any byte", () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    const parser = createParser();
    assert.deepEqual([...parser.feed(STREAM.slice(0, cut)), ...parser.feed(STREAM.slice(cut))], EVENTS, `cut at ${cut}`);
  }
});

test("a stream gives the same events byte by byte", () => {
  const parser = createParser();
  assert.deepEqual([...STREAM].flatMap((byte) => parser.feed(Uint8Array.of(byte))), EVENTS);
});

test("an event that the stream does not finish is none", () => {
  assert.deepEqual(createParser().feed(new TextEncoder().encode("data: x\n")), []);
});
