import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_BYTES, createRenderings, retryMs } from "../../clawgate/static/core/renderings.js";

/** A gateway that answers when it is told to. */
function gateway() {
  const requests = [];
  const send = (texts, definitions) =>
    new Promise((resolve, reject) => requests.push({ texts, definitions, answer: () => resolve(texts.map((each) => `<${each}>`)), reject }));
  return { requests, send };
}
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

test("what waits goes together, two requests at a time, the newest message first", async () => {
  const { requests, send } = gateway();
  const render = createRenderings(send);
  const all = [render("a", { order: 1 }), render("b", { order: 3 }), render("c", { order: 2 })];
  await turn();
  assert.deepEqual(requests.map(({ texts }) => texts), [["b", "c", "a"]]);
  all.push(render("d"), render("e"));
  await turn();
  all.push(render("f"));
  await turn();
  assert.deepEqual(requests.map(({ texts }) => texts), [["b", "c", "a"], ["d", "e"]]);
  requests.forEach((each) => each.answer());
  await turn();
  requests[2].answer();
  assert.deepEqual(await Promise.all(all), ["<a>", "<b>", "<c>", "<d>", "<e>", "<f>"]);
});

test("a request holds what the gateway takes: 256 texts, 256 KiB, one text's definitions", async () => {
  const { requests, send } = gateway();
  const render = createRenderings(send);
  for (let index = 0; index < 300; index += 1) render(String(index));
  await turn();
  assert.deepEqual(requests.map(({ texts }) => texts.length), [256, 44]);
  const large = gateway();
  const renderLarge = createRenderings(large.send);
  for (const size of [0.6, 0.6, 0.3]) renderLarge("é".repeat((MAX_BYTES * size) / 2));
  renderLarge("a", { definitions: "[x]: y" });
  await turn();
  large.requests.forEach((each) => each.answer());
  await turn();
  assert.deepEqual(large.requests.map(({ texts, definitions }) => [texts.length, definitions]), [[2, ""], [1, ""], [1, "[x]: y"]]);
});

test("what streams waits for more, what is over does not", async () => {
  const { requests, send } = gateway();
  const render = createRenderings(send);
  render("a", { patientMs: 1000 });
  await turn();
  render("b", { patientMs: 1000 });
  await turn();
  assert.deepEqual(requests.map(({ texts }) => texts), [["a"]]);
  render("c");
  await turn();
  assert.deepEqual(requests.map(({ texts }) => texts), [["a"], ["b", "c"]]);
});

test("a request that fails is made again, with what has come meanwhile", async () => {
  const { requests, send } = gateway();
  const waits = [];
  const render = createRenderings(send, (error, tries) => (waits.push([error, tries]), 1));
  const first = render("a");
  await turn();
  requests[0].reject("no");
  const second = render("b");
  await turn();
  requests[1].reject("no");
  await turn();
  requests[2].answer();
  assert.deepEqual(await Promise.all([first, second]), ["<a>", "<b>"]);
  assert.deepEqual(waits, [["no", 1], ["no", 2]]);
});

test("of a request that is refused the text that is to blame is left out alone", async () => {
  const render = createRenderings(async (texts) => {
    if (texts.includes("bad")) throw new Error("413");
    return texts;
  });
  const all = await Promise.allSettled(["a", "b", "bad", "c", "d"].map((each) => render(each)));
  assert.deepEqual(all.map((each) => each.value ?? String(each.reason)), ["a", "b", "Error: 413", "c", "d"]);
});

test("waits grow up to a bound, and differ", () => {
  for (let tries = 1; tries < 20; tries += 1) {
    const middle = Math.min(1000 * 2 ** (tries - 1), 30_000);
    const wait = retryMs(tries);
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5);
    assert.notEqual(wait, retryMs(tries));
  }
});

test("what nobody waits for any more is not asked for", async () => {
  const { requests, send } = gateway();
  const render = createRenderings(send);
  let last = 0;
  const asked = [1, 2, 3].map((turn) => {
    last = turn;
    return render("text", { definitions: `of turn ${turn}`, isWanted: () => turn === last });
  });
  const settled = Promise.allSettled(asked);
  await turn();
  assert.deepEqual(requests.map(({ definitions }) => definitions), ["of turn 3"]);
  requests[0].answer();
  assert.deepEqual((await settled).map(({ status }) => status), ["rejected", "rejected", "fulfilled"]);
});
