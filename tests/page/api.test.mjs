import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { createApi, renderWaitMs } from "../../clawgate/static/core/api.js";

const { fetch } = globalThis;
afterEach(() => {
  globalThis.fetch = fetch;
});
const ok = (html) => Response.json({ html });
const busy = () =>
  Response.json({ error: { code: "busy", message: "" } }, { status: 503, headers: { "Retry-After": "1" } });

test("a render that finds every place taken is asked for again", async () => {
  const answers = [busy(), busy(), ok("<p>a</p>")];
  globalThis.fetch = async () => answers.shift();
  assert.equal(await createApi("/", () => null).render("a"), "<p>a</p>");
  assert.equal(answers.length, 0);
});

test("any other failure is told at once, and the next text is rendered", async () => {
  const answers = [Response.json({ error: { code: "too_large", message: "m" } }, { status: 413 }), ok("b"), ok("c")];
  globalThis.fetch = async () => answers.shift();
  const api = createApi("/", () => null);
  const [first, ...others] = ["a", "b", "c"].map(api.render);
  await assert.rejects(first, { code: "too_large" });
  assert.deepEqual(await Promise.all(others), ["b", "c"]);
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

test("a page renders two texts at a time", async () => {
  let [now, most] = [0, 0];
  globalThis.fetch = async (_, { body }) => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now -= 1;
    return ok(JSON.parse(body).text);
  };
  const texts = [..."abcdefg"];
  assert.deepEqual(await Promise.all(texts.map(createApi("/", () => null).render)), texts);
  assert.equal(most, 2);
});

test("waits begin short, grow to what the gateway asks for, and differ", () => {
  for (let tries = 1; tries < 20; tries += 1) {
    const wait = renderWaitMs(tries, 1000);
    const middle = Math.min(100 * 2 ** (tries - 1), 1000);
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5, `${wait} at ${tries}`);
    assert.notEqual(wait, renderWaitMs(tries, 1000));
  }
});
