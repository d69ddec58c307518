// Runs cases with Ollama's own library for Node, and prints what came of each as a line of JSON. A case waits for its
// name on stdin, so that whoever runs this can prepare Ollama for it.
// node ollama_cases.mjs BASE_URL OLLAMA_FOLDER

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [base, folder] = process.argv.slice(2);
const { Ollama } = createRequire(import.meta.url)(folder);
const model = "qwen3:32b";
const messages = [{ role: "user", content: "hi" }];
const client = new Ollama({ host: base });
const named = new Ollama({ host: base, headers: { "X-Session-Id": "s-node" } });
const add = { type: "function", function: { name: "add", parameters: { type: "object", properties: { a: { type: "number" } } } } };

async function told(stream, read) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return { text: parts.map(read).join(""), end: parts.at(-1).done_reason };
}

async function refusal(ask) {
  try {
    return { answer: await ask() };
  } catch (error) {
    return { error: error.message, status: error.status_code };
  }
}

const cases = {
  chat: async () => (await client.chat({ model, messages })).message,
  stream: async () => told(await client.chat({ model, messages, stream: true }), (part) => part.message.content),
  thinking: async () => told(await client.chat({ model, messages, think: true, stream: true }), (part) => part.message.thinking ?? ""),
  tools: async () => (await client.chat({ model, messages, tools: [add] })).message.tool_calls,
  image: async () => (await client.chat({ model, messages: [{ ...messages[0], images: [new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10])] }] })).message,
  format: async () => JSON.parse((await client.chat({ model, messages, format: { type: "object" } })).message.content),
  prompt: async () => told(await client.generate({ model, prompt: "hi", stream: true }), (part) => part.response),
  load: async () => (await client.generate({ model, prompt: "", keep_alive: "0s" })).done_reason,
  models: async () => [(await client.list()).models, (await client.ps()).models, [await client.show({ model })]].map((all) => all.length),
  version: async () => (await client.version()).version,
  embed: async () => (await client.embed({ model, input: "a" })).embeddings,
  pull: async () => refusal(() => client.pull({ model })),
  missing: async () => refusal(() => client.chat({ model, messages, stream: true })),
  midway: async () => refusal(async () => told(await client.chat({ model, messages, stream: true }), (part) => part.message.content)),
  interrupt: async () => {
    const stream = await named.chat({ model, messages, stream: true });
    const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"session_id":"s-node"}' };
    const answer = await (await fetch(`${base}/api/interrupt`, asked)).json();
    return [answer.interrupted, await told(stream, (part) => part.message.content)];
  },
  abort: async () => {
    const stream = await client.chat({ model, messages, stream: true });
    try {
      for await (const part of stream) {
        console.log(JSON.stringify(part.message.content));
        stream.abort();
      }
    } catch (error) {
      return error.name;
    }
  },
};

for await (const name of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await cases[name]()));
}
