"""A Markdown text in pieces: what is over is told once, the same at every cut, and none of it is lost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.terminal import blocks as module
from clawgate.terminal.blocks import Blocks, Part, make_parser

PARSER = make_parser()
TEXT = """\
# Title

A paragraph
of two lines. <b>HTML</b> is text.

1. first
   - nested
2. second

   ```python
   nested = 1
   ```
3. third

| a | b |
|---|---|
| 1 | 2 |
- an item
* another list

```python
def f():

    return 1
```
right after
~~~
tildes ``` stay
~~~
[1]: https://example.org

    indented code

> quote
lazy
***
the end"""


def told(pieces: Iterable[str]) -> list[Part]:
    """Feed the pieces, and return all parts, with the lines of each code joined to one part."""
    blocks = Blocks(PARSER)
    parts = [part for piece in pieces for part in blocks.feed(piece)] + blocks.end()
    joined: list[Part] = []
    for part in parts:
        if part.kind == "code" and part.first_line:
            first = joined.pop()
            assert part.text.startswith(first.text), "what was shown does not change"
            assert part.is_joined
            part = part._replace(first_line=0, is_joined=first.is_joined)
        joined.append(part)
    return joined


def test_each_block_item_and_fence_is_a_part() -> None:
    parts = told([TEXT])
    assert [(part.kind, part.is_joined, part.text.strip()) for part in parts] == [
        ("markdown", False, "# Title"),
        ("markdown", False, "A paragraph\nof two lines. <b>HTML</b> is text."),
        ("markdown", False, "1. first\n   - nested"),
        ("markdown", True, "2. second\n\n   ```python\n   nested = 1\n   ```"),
        ("markdown", True, "3. third"),
        ("markdown", False, "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("markdown", False, "- an item"),
        ("markdown", False, "* another list"),
        ("code", False, "def f():\n\n    return 1"),
        ("markdown", False, "right after"),
        ("code", False, "tildes ``` stay"),
        ("markdown", False, "[1]: https://example.org"),
        ("markdown", False, "indented code"),
        ("markdown", False, "> quote\nlazy"),
        ("markdown", False, "***"),
        ("markdown", False, "the end"),
    ]
    assert [part.info for part in parts if part.kind == "code"] == ["python", ""]
    assert all(part.is_closed for part in parts if part.kind == "code")


def test_the_parts_are_the_same_at_every_cut() -> None:
    whole = told([TEXT])
    for cut in range(1, len(TEXT)):
        assert told([TEXT[:cut], TEXT[cut:]]) == whole, cut
    assert told(TEXT) == whole


LINE = st.sampled_from(
    [
        *("", "para", "- a", "* b", "1. c", "2) d", "   in", "    code", "```", "````py", "~~~", "> q", "# h", "---"),
        *("|a|b|", "|-|-|", "```x`", "\tt", "===", "<div>", "&#27;", "**b", "   ```", "      - deep"),
    ]
)


@settings(max_examples=200)
@given(st.lists(LINE, max_size=14), st.lists(st.integers(0, 100), max_size=5))
def test_cuts_change_nothing_and_no_line_is_lost(lines: list[str], cuts: list[int]) -> None:
    text = "\n".join(lines)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = told(text[start:end] for start, end in pairwise(places))
    assert parts == told([text])
    shown = " ".join(part.text for part in parts)
    fences = re.compile(r"[`~]{3,}\S*")
    assert [word for line in lines for word in line.split() if word not in shown and not fences.match(word)] == []


def test_a_fence_that_is_never_closed_is_shown_to_its_end() -> None:
    (code,) = told(["```py\na\n", "b"])
    assert (code.text, code.info, code.is_closed) == ("a\nb\n", "py", True)
    blocks = Blocks(PARSER)
    assert [part.text for part in blocks.feed("```\na\nb\nc")] == ["a\nb\n"]
    assert blocks.tail == Part("plain", "c", is_joined=True)


def test_lines_of_a_long_code_are_told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 3)
    blocks = Blocks(PARSER)
    parts = [part for line in ["```py", "a", "", "", "", "e", "```"] for part in blocks.feed(f"{line}\n")]
    assert [(part.text, part.first_line) for part in parts] == [
        *[("a\n", 0), ("a\n\n", 1), ("a\n\n\n", 2)],
        *[("\n", 0), ("e\n", 0), ("", 0)],
    ]
    assert [part.is_joined for part in parts] == [False, True, True, True, True, True]
    assert [part.is_closed for part in parts] == [False, False, False, False, False, True]


def test_the_tail_is_what_is_open() -> None:
    blocks = Blocks(PARSER)
    assert blocks.tail is None
    assert blocks.feed("one\n\ntw") == []
    assert blocks.tail == Part("markdown", "one\n\ntw")
    assert [part.text.strip() for part in blocks.feed("o\n")] == ["one"]
    assert blocks.tail == Part("markdown", "two\n")


def test_a_block_that_is_too_long_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 40)
    text = "word " * 30 + "\nnext **bold**\n"
    parts = told(text[at : at + 7] for at in range(0, len(text), 7))
    assert "".join(part.text for part in parts).split() == text.split()
    assert {part.kind for part in parts} == {"plain", "markdown"}
    assert max(len(part.text) for part in parts) < 50


def test_a_long_text_in_one_piece_is_cut_all_the_same() -> None:
    text = "para **bold**\n\n" * 6000
    parts = told([text])
    assert len(parts) == 6000
    assert {part.kind for part in parts} == {"markdown"}
