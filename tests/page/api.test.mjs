import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { createApi, renderWaitMs } from "../../clawgate/static/core/api.js";

const { fetch } = globalThis;
afterEach(() => {
  globalThis.fetch = fetch;
});
const ok = (html) => Response.json({ htmls: [html] });
const busy = () =>
  Response.json({ error: { code: "busy", message: "" } }, { status: 503, headers: { "Retry-After": "1" } });

test("a render that finds every place taken is asked for again", async () => {
  const answers = [busy(), busy(), ok("<p>a</p>")];
  globalThis.fetch = async () => answers.shift();
  assert.equal(await createApi("/", () => null).render("a"), "<p>a</p>");
  assert.equal(answers.length, 0);
});

test("a text that the gateway refuses is given up, and the next one is rendered", async () => {
  const answers = [Response.json({ error: { code: "too_large", message: "m" } }, { status: 413 }), ok("b")];
  globalThis.fetch = async () => answers.shift();
  const api = createApi("/", () => null);
  await assert.rejects(api.render("a"), { code: "too_large" });
  assert.equal(await api.render("b"), "b");
});

test("texts are asked for again where the gateway is away, or something else answers in its place", async () => {
  const answers = [
    new Response("<h1>Bad gateway</h1>", { status: 502, headers: { "Content-Type": "text/html" } }),
    Response.json({ html: "an older gateway's" }),
    ok("a"),
  ];
  globalThis.fetch = async () => answers.shift() ?? assert.fail();
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (task) => setTimeout(task, 0); // its waits are another test's
  const now = Date.now;
  let later = 0;
  Date.now = () => now() + (later += 60_000);
  try {
    assert.equal(await createApi("/", () => null).render("a"), "a");
  } finally {
    [globalThis.setTimeout, Date.now] = [setTimeout, now];
  }
});

const page = (status, headers = {}) =>
  new Response("<h1>Sign in</h1>", { status, headers: { "Content-Type": "text/html", ...headers } });

test("the token goes in a header of its own, and leaves Authorization to a proxy", async () => {
  let sent = {};
  globalThis.fetch = async (_, { headers }) => ((sent = headers), ok(""));
  await createApi("/", () => "t0ken").status();
  assert.equal(sent["X-Clawgate-Token"], "t0ken");
  assert.ok(!("Authorization" in sent));
});

const streamOf = (body, init = {}) => new Response(body, { headers: { "Content-Type": "text/event-stream" }, ...init });
const all = async (events) => {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
};

test("a question has a key, waits for its reader, and its events have their ids", async () => {
  let sent = {};
  globalThis.fetch = async (_, options) => ((sent = options), streamOf('id: r:1\ndata: {"message":"a"}\n\n'));
  const events = await all(createApi("/", () => "t0ken").chat({ message: "hi" }, "key_1", new AbortController().signal));
  assert.deepEqual(events, [{ at: "r:1", data: { message: "a" } }]);
  assert.deepEqual(JSON.parse(sent.body), { message: "hi", on_disconnect: "detach" });
  assert.deepEqual([sent.headers["Idempotency-Key"], sent.headers["X-Clawgate-Token"]], ["key_1", "t0ken"]);
});

test("an answer is read on behind an event, or from its beginning, until nothing is left", async () => {
  let [address, sent] = ["", {}];
  globalThis.fetch = async (url, { headers }) => ((address = url), (sent = headers), streamOf("retry: 1000\n\n"));
  const api = createApi("/", () => null);
  const { signal } = new AbortController();
  assert.deepEqual(await all(api.follow("s", "r:7", signal)), []);
  assert.deepEqual([address, sent["Last-Event-ID"]], ["/api/sessions/s/stream", "r:7"]);
  await all(api.follow("s", "", signal));
  assert.ok(!("Last-Event-ID" in sent));
  globalThis.fetch = async () => new Response(null, { status: 204 });
  await assert.rejects(all(api.follow("s", "r:7", signal)), { code: "nothing_left" });
});

test("a proxy's sign-in is told from the gateway's own 401", async () => {
  const ours = Response.json({ error: { code: "unauthorized", message: "m" } }, { status: 401 });
  const realm = { "WWW-Authenticate": 'Bearer realm="clawgate"' };
  const redirect = { type: "opaqueredirect", status: 0, ok: false };
  const basic = { "WWW-Authenticate": 'Basic realm="inside"' };
  const recipe = { "WWW-Authenticate": 'Basic realm="clawgate"' }; // docs/proxies.md
  const denied = Response.json({ error: "denied" }, { status: 401 });
  const theirs = [page(401, basic), page(401, recipe), page(403), page(200), redirect, denied];
  for (const [answer, code] of [[ours, "unauthorized"], [page(401, realm), "unauthorized"], [page(502), "proxy"]]) {
    globalThis.fetch = async () => answer;
    await assert.rejects(createApi("/", () => null).status(), { code });
  }
  for (const answer of theirs) {
    globalThis.fetch = async () => answer;
    await assert.rejects(createApi("/", () => null).status(), { code: "sign_in" });
  }
});

test("whatever answers in the gateway's place is told, for every request, and quoted", async () => {
  const told = [];
  const api = createApi("/", () => null, (error) => told.push(error.code));
  const html = (title, status = 200) =>
    new Response(`<html><head><TITLE lang="en">\n ${title}\n</title>`, { status, headers: { "Content-Type": "text/html; charset=x" } });
  const requests = [
    () => api.status(),
    () => api.session("s"),
    () => api.interrupt("s", "r"),
    () => api.forget("s"),
    () => api.chat({}, "key", AbortSignal.timeout(1000)).next(),
    () => api.follow("s", "r:1", AbortSignal.timeout(1000)).next(),
  ];
  for (const [make, code, message] of [
    [() => html("Log in to Hotel"), "sign_in", "HTTP 200: Log in to Hotel"],
    [() => html("Down for maintenance", 503), "proxy", "HTTP 503: Down for maintenance"],
    [() => new Response("gone", { status: 502 }), "proxy", "HTTP 502"],
    [() => new Response("ok", { headers: { "Content-Type": "text/plain" } }), "proxy", "HTTP 200"],
    [() => html("x".repeat(999), 403), "sign_in", `HTTP 403: ${"x".repeat(100)}`],
  ]) {
    for (const ask of requests) {
      globalThis.fetch = async () => make();
      await assert.rejects(ask, { code, message });
      assert.equal(told.pop(), code);
    }
  }
});

test("a small request without an answer is given up, an answer that breaks off is no answer", async () => {
  const { timeout } = AbortSignal;
  const { setTimeout } = globalThis;
  const silent = (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const patience = [];
  const broken = async () => new Response("{", { headers: { "Content-Type": "application/json" } });
  try {
    globalThis.setTimeout = (act) => setTimeout(act, 5); // of browsers without AbortSignal.timeout
    const short = (ms) => {
      patience.push(ms);
      const abort = new AbortController(); // node ends before one of its own timeouts
      setTimeout(() => abort.abort(), 5);
      return abort.signal;
    };
    for (const [given, answer] of [[short, silent], [undefined, silent], [timeout, broken]]) {
      AbortSignal.timeout = given;
      globalThis.fetch = (_, { signal }) => answer(signal);
      const api = createApi("/", () => null);
      for (const ask of [() => api.status(), () => api.session("s"), () => api.interrupt("s", "r")]) {
        await assert.rejects(ask, { code: "network" });
      }
    }
  } finally {
    AbortSignal.timeout = timeout;
    globalThis.setTimeout = setTimeout;
  }
  assert.deepEqual(patience, [3000, 3000, 3000]);
});

test("the gateway's quotation of Ollama comes apart from its own words", async () => {
  const error = { code: "upstream_refused", message: "Ollama refused this message: too long; it is left out", words: "too long" };
  globalThis.fetch = async () => Response.json({ error }, { status: 400 });
  await assert.rejects(createApi("/", () => null).status(), { message: error.message, words: "too long" });
});

test("waits begin short, grow to what the gateway asks for, and differ", () => {
  for (let tries = 1; tries < 20; tries += 1) {
    const wait = renderWaitMs(tries, 1000);
    const middle = Math.min(100 * 2 ** (tries - 1), 1000);
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5, `${wait} at ${tries}`);
    assert.notEqual(wait, renderWaitMs(tries, 1000));
  }
});
