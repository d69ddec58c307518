import assert from "node:assert/strict";
import { test } from "node:test";
import * as a from "../../clawgate/static/core/attached.js";

const bytes = (text) => new TextEncoder().encode(text);

test("a picture is made smaller, never larger, and keeps its shape", () => {
  assert.deepEqual(a.scaled(4032, 3024), { width: 1568, height: 1176 });
  assert.deepEqual(a.scaled(3024, 4032), { width: 1176, height: 1568 });
  assert.deepEqual(a.scaled(100, 50), { width: 100, height: 50 });
  assert.deepEqual(a.scaled(100000, 3), { width: 1568, height: 1 });
});

test("a file's block has its name, its language, and a fence longer than any inside", () => {
  assert.equal(a.fenced("a.py", "x = 1\r\n\r\n"), "a.py\n```python\nx = 1\n```\n");
  assert.equal(a.fenced("notes.txt", "b"), "notes.txt\n```\nb\n```\n");
  assert.equal(a.fenced("a b\n.md", "```\nc\n```"), "a b .md\n````markdown\n```\nc\n```\n````\n");
  assert.ok(a.fenced("d.md", "`````").includes("``````markdown"));
  const names = ["Main.JAVA", "Makefile", "x.constructor", "y.toml", "z.tar.gz", "strange.a b"];
  assert.deepEqual(names.map(a.languageOf), ["java", "", "constructor", "toml", "gz", ""]);
});

test("a text is read in the encodings that such files have, and nothing else is a text", () => {
  assert.equal(a.textOf(bytes("\ufeffgrüß 你好\n\x1b[31m")), "grüß 你好\n\x1b[31m");
  assert.equal(a.textOf(new Uint8Array([0xc4, 0xe3, 0xba, 0xc3])), "你好", "GBK");
  assert.equal(a.textOf(new Uint8Array([0xff, 0xfe, 0x60, 0x4f])), "你", "UTF-16");
  assert.equal(a.textOf(new Uint8Array(0)), "");
  for (const wrong of [[0x50, 0x4b, 3, 4, 0, 0], [0xff, 0xff, 0xff], [0xff, 0xd8, 0xff, 0xe0, 0, 16]]) {
    assert.equal(a.textOf(new Uint8Array(wrong)), null);
  }
});

test("a picture's address names its kind", () => {
  const kinds = ["iVBORw0KGgo", "/9j/4AAQ", "UklGRg", "R0lGODlh"].map(a.addressOf);
  assert.deepEqual(kinds.map((each) => each.split(";")[0]), ["data:image/png", "data:image/jpeg", "data:image/webp", "data:image/gif"]);
});
