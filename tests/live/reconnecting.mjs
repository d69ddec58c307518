// Asks by a client that connects again by itself, and prints each text, and at last what it came to: the text and the
// number of ends, once the client has had its time to come back after the end.
// node reconnecting.mjs LIBRARY BASE_URL SESSION_ID FETCH_EVENT_SOURCE_FOLDER EVENTSOURCE_FOLDER

import { createRequire } from "node:module";

const [library, base, session, ...folders] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const body = JSON.stringify({ session_id: session, message: undefined, messages: [{ role: "user", content: "hi" }], on_disconnect: "detach" });
const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body };
const AFTERWARDS_MS = 5000; // the libraries wait 1 and 3 s

let text = "";
let ends = 0;

function take(data) {
  const event = JSON.parse(data);
  if (event.ping) return;
  if (event.status === "reset") text = event.text;
  text += event.message;
  if (event.message) console.log(`text ${event.message}`);
  if (!event.done) return;
  ends += 1;
  if (ends === 1) setTimeout(finish, AFTERWARDS_MS);
}

function finish() {
  console.log(JSON.stringify({ text, ends }));
  process.exit();
}

if (library === "fetch-event-source") {
  globalThis.window = globalThis;
  globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
  const { fetchEventSource } = require(folders[0]);
  fetchEventSource(`${base}/api/chat`, {
    ...asked,
    onmessage: ({ data }) => data && take(data),
    onclose() {
      throw new Error("connect again"); // as people write who want it to go on whatever happens
    },
  });
} else {
  const { EventSource } = require(folders[1]);
  const post = (url, init) => fetch(url, { ...init, ...asked, headers: { ...init.headers, ...asked.headers } });
  const follows = library === "EventSource";
  if (follows) await (await fetch(`${base}/api/chat`, asked)).body.cancel();
  const source = follows
    ? new EventSource(`${base}/api/sessions/${session}/stream`)
    : new EventSource(`${base}/api/chat`, { fetch: post });
  source.onmessage = ({ data }) => take(data);
  source.addEventListener("error", ({ data }) => data && take(data));
}
