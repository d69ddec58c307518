// Reads our own stream with eventsource-parser, and prints what it makes of it as a line of JSON. A case waits for the
// body of its question on stdin.
// node sse_cases.mjs BASE_URL EVENTSOURCE_PARSER_FOLDER

import { createInterface } from "node:readline";

const [base, folder] = process.argv.slice(2);
const { createParser } = await import(`${folder}/dist/index.js`);

for await (const body of createInterface({ input: process.stdin })) {
  const events = [];
  const errors = [];
  const retries = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => events.push({ id: id ?? null, event: event ?? null, data: JSON.parse(data) }),
    onError: (error) => errors.push(error.message),
    onRetry: (interval) => retries.push(interval),
  });
  const response = await fetch(`${base}/api/chat`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const decoder = new TextDecoder();
  for await (const piece of response.body) parser.feed(decoder.decode(piece, { stream: true }));
  console.log(JSON.stringify({ events, errors, retries }));
}
