import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, beginScan } from "../../clawgate/static/core/blocks.js";

const TEXT = `# Title

A paragraph
of two lines.

- one

  more of one
- two

1. first

   \`\`\`js
   let a;

   let b;
   \`\`\`

After the list.

\`\`\`\`python
x = 1

\`\`\`
y = 2
\`\`\`\`
Text right after code.

| a | b |
|---|---|
| 1 | 2 |

    indented

    code

The open tail`;
const BLOCKS = [
  "# Title\n\n",
  "A paragraph\nof two lines.\n\n",
  "- one\n\n  more of one\n- two\n\n1. first\n\n   ```js\n   let a;\n\n   let b;\n   ```\n\n",
  "After the list.\n\n",
  "````python\nx = 1\n\n```\ny = 2\n````\n",
  "Text right after code.\n\n",
  "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
  "    indented\n\n    code\n\n",
];

function cutAt(...lengths) {
  let scan = beginScan();
  const blocks = [];
  for (const length of [...lengths, TEXT.length]) {
    const step = advance(scan, TEXT.slice(0, length));
    scan = step.scan;
    blocks.push(...step.blocks);
  }
  return { blocks, tail: TEXT.slice(scan.cut) };
}

test("finished blocks are cut off, the tail stays", () => {
  assert.deepEqual(cutAt(), { blocks: BLOCKS, tail: "The open tail" });
});

test("the same blocks are cut off wherever the text is cut", () => {
  for (let cut = 0; cut <= TEXT.length; cut++) assert.deepEqual(cutAt(cut).blocks, BLOCKS, `cut at ${cut}`);
});

test("the same blocks are cut off character by character, and nothing is lost", () => {
  const { blocks, tail } = cutAt(...Array(TEXT.length).keys());
  assert.deepEqual(blocks, BLOCKS);
  assert.equal(blocks.join("") + tail, TEXT);
});

test("a blank line between two blocks belongs to neither", () => {
  const text = "```\na\n```\n\nb";
  const { scan, blocks } = advance(beginScan(), text);
  assert.deepEqual([blocks, text.slice(scan.cut)], [["```\na\n```\n"], "b"]);
});

test("a code block that is open is no finished block", () => {
  assert.deepEqual(advance(beginScan(), "```\na\n\nb\n\n").blocks, []);
});

test("a line that may become a list item does not end a list", () => {
  assert.deepEqual(advance(beginScan(), "1. a\n\n2").blocks, []);
  assert.deepEqual(advance(beginScan(), "1. a\n\nBut").blocks, ["1. a\n\n"]);
});
