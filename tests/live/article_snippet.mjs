// The article's front end, run under node by test_snippets.py: `node article_snippet.mjs BASE_URL MESSAGE [skip-pings]`.
// Prints what it appended to its chat box as a JSON list. It knows nothing of this gateway but `data.message`.

const [baseUrl, message, skipPings] = process.argv.slice(2);
const box = [];
const appendToChatBox = (text) => box.push(String(text));

const response = await fetch(`${baseUrl}/api/chat`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ messages: [{ role: "user", content: message }] }),
});
const reader = response.body.getReader();
const decoder = new TextDecoder();
while (true) {
  const { done, value } = await reader.read();
  if (done) break;
  const lines = decoder.decode(value).split("\n");
  for (const line of lines) {
    if (line.startsWith("data: ")) {
      const data = JSON.parse(line.slice(6));
      if (skipPings && data.ping) continue;
      appendToChatBox(data.message);
    }
  }
}
process.stdout.write(JSON.stringify(box));
