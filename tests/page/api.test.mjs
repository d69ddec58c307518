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

test("a proxy's sign-in is told from the gateway's own 401", async () => {
  const ours = Response.json({ error: { code: "unauthorized", message: "m" } }, { status: 401 });
  const realm = { "WWW-Authenticate": 'Bearer realm="clawgate"' };
  const redirect = { type: "opaqueredirect", status: 0, ok: false };
  const basic = { "WWW-Authenticate": 'Basic realm="inside"' };
  const recipe = { "WWW-Authenticate": 'Basic realm="clawgate"' }; // docs/proxies.md
  const denied = Response.json({ error: "denied" }, { status: 401 });
  const theirs = [page(401, basic), page(401, recipe), page(403), page(200), redirect, denied];
  for (const [answer, code] of [[ours, "unauthorized"], [page(401, realm), "unauthorized"], [page(502), "network"]]) {
    globalThis.fetch = async () => answer;
    await assert.rejects(createApi("/", () => null).status(), { code });
  }
  for (const answer of theirs) {
    globalThis.fetch = async () => answer;
    await assert.rejects(createApi("/", () => null).status(), { code: "sign_in" });
  }
});

test("waits begin short, grow to what the gateway asks for, and differ", () => {
  for (let tries = 1; tries < 20; tries += 1) {
    const wait = renderWaitMs(tries, 1000);
    const middle = Math.min(100 * 2 ** (tries - 1), 1000);
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5, `${wait} at ${tries}`);
    assert.notEqual(wait, renderWaitMs(tries, 1000));
  }
});
