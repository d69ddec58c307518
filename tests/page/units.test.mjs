import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { read } from "../../clawgate/static/core/inline.js";
import { createUnits, namesOf, wholeOf } from "../../clawgate/static/core/units.js";

const TORTURE = readFileSync(new URL("../support/torture.md", import.meta.url), "utf8");
const TEXT = `# Title
A paragraph
of two lines.

- one

  more of one
- two
* another list

1. first

   \`\`\`js
   let a;

   let b;
   \`\`\`
2. second
   lazy
Line
# After
> quote
lazy

\`\`\`\`python
x = 1

\`\`\`
\`\`\`\`
Text right after code.
| a | b |
|---|---|
| 1 | 2 |

    indented

    code
Setext
---
$$
x
$$
$$
no formula

[ref]: https://example.org/
    code

The open tail`;

function cut(text, pieces) {
  const units = createUnits();
  const found = [];
  for (const end of pieces) found.push(...units.feed(text.slice(0, end)));
  found.push(...units.feed(text), ...units.finish());
  return found.map(({ start, end, item }) => [text.slice(start, end), item]);
}

test("a text is cut into its blocks and the items of its lists", () => {
  assert.deepEqual(
    cut(TEXT, []).map(([text, item]) => (item < 0 ? text : `${item}:${text}`)),
    [
      "# Title\n",
      "A paragraph\nof two lines.\n",
      "0:- one\n\n  more of one\n",
      "1:- two\n",
      "0:* another list\n\n",
      "0:1. first\n\n   ```js\n   let a;\n\n   let b;\n   ```\n",
      "1:2. second\n   lazy\nLine\n",
      "# After\n",
      "> quote\nlazy\n",
      "````python\nx = 1\n\n```\n````\n",
      "Text right after code.\n",
      "| a | b |\n|---|---|\n| 1 | 2 |\n",
      "    indented\n\n    code\n",
      "Setext\n---\n",
      "$$\nx\n$$\n",
      "$$\nno formula\n",
      "[ref]: https://example.org/\n",
      "    code\n\n",
      "The open tail",
    ],
  );
});

for (const [name, text] of [["text", TEXT], ["torture text", TORTURE], ["text with CRLF", TEXT.replaceAll("\n", "\r\n")]]) {
  test(`the ${name} is cut alike wherever it is split, and with a look at each step`, () => {
    const whole = cut(text, []);
    for (let at = 0; at <= text.length; at += 1) assert.deepEqual(cut(text, [at]), whole, `split at ${at}`);
    const units = createUnits();
    const found = [];
    for (let end = 0; end <= text.length; end += 1) {
      found.push(...units.feed(text.slice(0, end)));
      units.glance()();
    }
    found.push(...units.finish());
    assert.deepEqual(found.map(({ start, end, item }) => [text.slice(start, end), item]), whole);
  });
}

test("nothing but blank lines is left out", () => {
  for (const text of [TEXT, TORTURE]) {
    assert.equal(cut(text, []).map(([unit]) => unit).join("").replace(/\s+/g, ""), text.replace(/\s+/g, ""));
  }
});

test("a unit is finished as soon as no text can change it", () => {
  const kinds = (text) => createUnits().feed(text).map((each) => each.block.kind);
  assert.deepEqual(kinds("# a\n"), ["heading"]);
  assert.deepEqual(kinds("```\na\n\nb\n\n"), []);
  assert.deepEqual(kinds("```\na\n```\n"), ["code"]);
  assert.deepEqual(kinds("- a\n- b\n"), ["item"]);
  assert.deepEqual(kinds("a\n"), []);
  assert.deepEqual(kinds("a\n\n"), ["paragraph"]);
  assert.deepEqual(kinds("a\n\n$$\nx\n"), []); // it may be no formula, and then a text
});

test("what a look has shown is taken back", () => {
  const units = createUnits();
  units.feed("- a\n  - b\n\n  - c");
  const before = JSON.stringify(units.root);
  const back = units.glance();
  assert.notEqual(JSON.stringify(units.root), before);
  back();
  assert.equal(JSON.stringify(units.root), before);
});

test("marks that may still become something else are not looked at", () => {
  for (const line of ["-", "1", "12.", "##", "```py", "~~", "|", "|--", "===", "**", "$$", "\\[", "\\begin{al", "[ref", "  "]) {
    const units = createUnits();
    units.feed(`a\n${line}`);
    units.glance();
    assert.equal(units.root.children.length, 1, line);
    assert.equal(units.root.children[0].text, "a", line);
  }
});

test("definitions are found wherever a paragraph begins, and labels wherever they are used", () => {
  const units = createUnits();
  const text = "> [Ä b]: /x\n> 'title'\n\n- [c]: <y>\n\n[^n]: a note\n\n[no]: a b\n\nuses [ä  B], [c][], [^n]";
  const named = [...units.feed(text), ...units.finish()].map((each) => namesOf(each, text.slice(each.start, each.end)));
  assert.deepEqual(named.flatMap(({ defined }) => defined.map(({ label, text }) => [label, text])), [
    ["Ä B", "[Ä b]: /x\n'title'"],
    ["C", "[c]: <y>"],
    ["^N", "[^n]: a note\n\n"],
  ]);
  assert.deepEqual([...named.at(-1).used], ["Ä B", "C", "^N"]);
});

/** Texts that grow by repetition, and are read to their end, or looked back through, at each mark by a careless reader. */
const GROWING = {
  ...{ quotes: "> ", items: "- ", notes: "[^a]: ", brackets: "[", hashes: " #", cells: "|", stars: "*", blanks: " ", tabs: "\t" },
  ...{ escapes: "\\[", rounds: "\\(", labels: "[a\n", formulas: "\\[a\n", dollars: "$$a\n", definitions: "[a]: b\n" },
  ...{ titles: "[a]: b 'c\n", links: "[a](", addresses: "http://a ", ends: "http://a<", dots: "http://a.", spans: "` a", heads: "a|b\n-|\n", lines: "a\n" },
};

test("a text of nothing but marks takes no longer than its length", () => {
  for (const [name, mark] of Object.entries(GROWING)) {
    const text = `${mark.repeat(100_000 / mark.length)}x`;
    const begin = performance.now();
    const units = createUnits();
    const found = units.feed(`${text}\n`);
    units.feed(`${text}\n${text}`);
    units.glance()();
    for (const unit of [...found, ...units.finish()]) namesOf(unit, text);
    for (const isOpen of [true, false]) read(text, isOpen);
    const ms = performance.now() - begin;
    assert.ok(ms < 3000, `${name}: ${ms} ms`);
  }
});

test("the last unit of an answer that was cut is made whole for the gateway", () => {
  for (const [text, expected] of [
    ["One.\n\na **b", "a **b**"],
    ["1. **标题", "1. **标题**"],
    ["> ## a `b", "> ## a `b`"],
    ["Text\n-", "Text"],
    ["Text\n\n- a\n- ", "- a"],
    ["The answer is:\n42", "The answer is:\n42"],
    ["| A | B |\n|---|", "| A | B |\n|---|---|"],
    ["| A | B |\n|---|---|\n| 1 | **tw", "| A | B |\n|---|---|\n| 1 | **tw**"],
    ["| A | B |\n|---|---|\n| **1 |", "| A | B |\n|---|---|\n| **1 |"],
    ["```py\nx = 1 ** 2\n``", "```py\nx = 1 ** 2"],
    ["a **b\n\n", "a **b"],
    ["a **b**\n", "a **b**"],
    ["- a **b** ", "- a **b**"],
  ]) {
    const units = createUnits();
    const last = [...units.feed(text), ...units.finish(true)].at(-1);
    assert.equal(wholeOf(last, text.slice(last.start, last.end)).trimEnd(), expected, text);
  }
});

test("blocks lie in a hundred others at most, and a table has no more cells than the gateway makes", () => {
  const deepest = (block) => 1 + Math.max(0, ...block.children.map(deepest));
  for (const mark of ["> ", "- ", "1. ", "[^a]: ", "> - "]) {
    const units = createUnits();
    units.feed(`${mark.repeat(3000)}x\n`);
    const depth = deepest(units.root);
    assert.ok(depth > 90 && depth <= 101, `${mark}: ${depth}`);
  }
  const kinds = (text) => {
    const units = createUnits();
    return [...units.feed(text), ...units.finish()].map(({ block }) => [block.kind, block.text.split("\n").length]);
  };
  const head = (columns) => `${"|a".repeat(columns)}|\n${"|-".repeat(columns)}|\n`;
  assert.deepEqual(kinds(head(199) + "|x|\n".repeat(1000)).map(([kind]) => kind), ["table", "paragraph"]);
  assert.deepEqual(kinds(head(201) + "|x|\n"), [["paragraph", 3]]);
});

test("so many definitions are found as there are", () => {
  const text = "[a]: b\n".repeat(150_000);
  const units = createUnits();
  assert.equal([...units.feed(text), ...units.finish()].flatMap((unit) => namesOf(unit, text).defined).length, 150_000);
});
