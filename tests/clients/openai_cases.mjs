// Runs cases with openai-node, and prints what came of each as a line of JSON. A case waits for its name on stdin, so
// that whoever runs this can prepare Ollama for it.
// node openai_cases.mjs BASE_URL TOKEN OPENAI_FOLDER

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [base, apiKey, folder] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const { OpenAI } = require(folder);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey });
const named = new OpenAI({ baseURL: `${base}/v1`, apiKey, defaultHeaders: { "X-Session-Id": "s-node" } });
const model = "qwen3:32b";
const messages = [{ role: "user", content: "hi" }];
const asked = { model, messages };
const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};
const schema = { type: "object", properties: { name: { type: "string" } } };

function told(value) {
  console.log(JSON.stringify(value));
}

async function said(stream) {
  let text = "";
  let last;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  return { text, finish: last.choices[0]?.finish_reason, clawgate: last.clawgate, usage: last.usage };
}

async function refusal(ask) {
  try {
    return { answer: await ask() };
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, param: error.param, type: error.type };
  }
}

const interrupt = (body) =>
  fetch(`${base}/api/interrupt`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${apiKey}` },
    body: JSON.stringify(body),
  }).then((response) => response.json());

const cases = {
  chat: async () => (await client.chat.completions.create(asked)).choices[0],
  stream: async () => said(await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })),
  thinking: async () => {
    let reasoning = "";
    const stream = await client.chat.completions.create({ ...asked, stream: true, reasoning_effort: "low" });
    for await (const chunk of stream) reasoning += chunk.choices[0].delta.reasoning ?? "";
    return reasoning;
  },
  tools: async () => {
    const first = (await client.chat.completions.create({ ...asked, tools: [weather] })).choices[0].message;
    const answers = first.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "sunny" }));
    const second = await client.chat.completions.create({ ...asked, messages: [...messages, first, ...answers] });
    return [first.tool_calls[0].function, second.choices[0].message.content];
  },
  runTools: async () => {
    const seen = [];
    const tool = {
      type: "function",
      function: { ...weather.function, parse: JSON.parse, function: ({ city }) => (seen.push(city), "sunny") },
    };
    const runner = client.chat.completions.runTools({ ...asked, stream: true, tools: [tool] });
    return [await runner.finalContent(), seen];
  },
  gathered: async () => {
    const stream = client.chat.completions.stream({ ...asked, tools: [weather] });
    const { choices, usage } = await stream.finalChatCompletion();
    return [choices[0].message.content, choices[0].message.tool_calls[0].function.arguments, choices[0].finish_reason, usage ?? null];
  },
  parse: async () => {
    const response_format = { type: "json_schema", json_schema: { name: "place", schema, strict: true } };
    return JSON.parse((await client.chat.completions.parse({ ...asked, response_format })).choices[0].message.content);
  },
  image: async () => {
    const image_url = { url: `data:image/gif;base64,${Buffer.from("GIF89a\x01\0\x01\0\0\0\0;", "latin1").toString("base64")}` };
    const content = [{ type: "text", text: "What?" }, { type: "image_url", image_url }];
    return (await client.chat.completions.create({ model, messages: [{ role: "user", content }] })).choices[0].message.content;
  },
  "400": async () => refusal(() => client.chat.completions.create({ model, messages: [{ role: "king" }] })),
  "401": async () => refusal(() => client.withOptions({ apiKey: "sk-wrong" }).chat.completions.create(asked)),
  "403": async () => refusal(() => client.chat.completions.create({ ...asked, model: "gpt-4o" })),
  "404": async () => refusal(() => client.chat.completions.create({ ...asked, model: "absent:1b", stream: true })),
  "502": async () => refusal(() => client.chat.completions.create({ ...asked, stream: true })),
  midway: async () => refusal(async () => said(await client.chat.completions.create({ ...asked, stream: true }))),
  leave: async () => {
    const stream = await client.chat.completions.create({ ...asked, stream: true });
    for await (const chunk of stream) {
      if (!chunk.choices[0].delta.content) continue;
      told(chunk.choices[0].delta.content);
      break;
    }
    return stream.controller.signal.aborted;
  },
  "interrupt by run": async () => {
    const { data, response } = await client.chat.completions.create({ ...asked, stream: true }).withResponse();
    const done = await interrupt({ run_id: response.headers.get("x-run-id") });
    return [done.interrupted, await said(data)];
  },
  "interrupt by session": async () => {
    const stream = await named.chat.completions.create({ ...asked, stream: true });
    const done = await interrupt({ session_id: "s-node" });
    return [done.interrupted, await said(stream)];
  },
  models: async () => {
    const all = [];
    for await (const each of client.models.list()) all.push(each.id);
    return [all, (await client.models.retrieve(model)).owned_by];
  },
  embeddings: async () => {
    const { data, usage } = await client.embeddings.create({ model, input: ["a"] });
    return [data[0].embedding.map((number) => Math.round(number * 10)), usage.total_tokens];
  },
};

for await (const name of createInterface({ input: process.stdin })) {
  told((await cases[name]()) ?? null);
}
