import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ended, read } from "../../clawgate/static/core/inline.js";

const TORTURE = readFileSync(new URL("../support/torture.md", import.meta.url), "utf8");
const html = (node) => (typeof node === "string" ? node : `<${node.tag}>${node.children.map(html).join("")}</${node.tag}>`);
const shown = (text, isOpen) => read(text, isOpen).nodes.map(html).join("");

test("marks are read as the gateway reads them", () => {
  for (const [text, expected] of [
    ["他说**重要！**然后", "他说<strong>重要！</strong>然后"],
    ["a **bold *it* x** y", "a <strong>bold <em>it</em> x</strong> y"],
    ["2*3*4 snake_case_n", "2*3*4 snake_case_n"],
    ["$5 and $6, $x^2$ \\(a+b\\)", "$5 and $6, <code>x^2</code> <code>a+b</code>"],
    ["[a](http://b/c_d) [x][y] ![im](u)", "<a>a</a> [x][y] <a>im</a>"],
    ["`a|b` ``x`y`` ~~del~~", "<code>a|b</code> <code>x`y</code> <s>del</s>"],
    ["https://e.com/a_b_c?d=e，然后", "<a>https://e.com/a_b_c?d=e</a>，然后"],
    ["a<br>b H<sub>2</sub>O &amp; 5 < 6", "a<br></br>b H<sub>2</sub>O & 5 < 6"],
    ["\\*a\\* a\nb", "*a* a<br></br>b"],
  ]) {
    assert.equal(shown(text, false), expected);
    assert.equal(shown(`${text}.`, true), `${expected}.`);
  }
});

test("what is open is closed at the end, and a last mark is held back", () => {
  for (const [text, expected] of [
    ["**a and *b", "<strong>a and <em>b</em></strong>"],
    ["a `co", "a <code>co</code>"],
    ["a [li](http://", "a <a>li</a>"],
    ["a **", "a "],
    ["**a** *", "<strong>a</strong> "],
    ["**a*", "<strong>a</strong>"],
    ["a $x_1 + \\al", "a <code>x_1 + \\al</code>"],
    ["a ~~", "a "],
    ["a ![", "a "],
  ]) {
    assert.equal(shown(text, true), expected, text);
  }
  assert.equal(shown("**a and *b", false), "**a and *b");
});

test("a text that is read on from where nothing was open is read alike, whatever pieces it comes in", () => {
  for (const line of TORTURE.split("\n")) {
    let [from, before] = [0, []];
    for (let end = 1; end <= line.length; end += 1) {
      const text = line.slice(0, end);
      const { nodes, settled, count } = read(text, true, from);
      assert.equal([...before, ...nodes].map(html).join(""), shown(text, true));
      [from, before] = [settled, [...before, ...nodes.slice(0, count)]];
    }
  }
});

test("a long text of nothing but openings takes no longer than its length", () => {
  for (const mark of ["[", "**a ", "*a **b ", "`", "$x ", "<a", "![", "&", "\\("]) {
    const begin = performance.now();
    read(mark.repeat(20_000), true);
    assert.ok(performance.now() - begin < 2000, mark);
  }
});

test("a text that was cut is ended, and one that was not stays", () => {
  for (const [text, expected] of [
    ["a **bold te", "a **bold te**"],
    ["a **bold *it", "a **bold *it***"],
    ["a **bold ", "a **bold**"],
    ["a **bold*", "a **bold**"],
    ["a `co", "a `co`"],
    ["**a `co", "**a `co`**"],
    ["a ~~de", "a ~~de~~"],
    ["a **", "a "],
    ["a **b**", "a **b**"],
    ["a **b** ", "a **b** "],
    ["a `b`", "a `b`"],
    ["[**a", "[**a**"],
    ["祝你愉快~", "祝你愉快~"],
    ["AT&T cost $5", "AT&T cost $5"],
  ]) assert.equal(ended(text), expected, text);
});
