"""Texts are cut at their borders, nothing is lost, every part is whole, and what was shown does not change."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clawgate.bots.splitting import LEAST_LIMIT, split, utf8_size

PIECES = st.sampled_from(
    [
        "春光",
        "a ",
        "word. ",
        "句子。",
        "\n",
        "\n\n",
        "```py\n",
        "```\n",
        "~~~~\n",
        "   ```\n",
        "````x\n",
        "`",
        "~",
        "    ",
        "e\u0301",
    ]
)
TEXTS = st.lists(PIECES, max_size=80).map("".join)
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"


def body_size(text: str) -> int:
    """The bytes of a messenger's request with a text in it."""
    return len(json.dumps({"msgtype": "markdown", "text": text}).encode())


SIZES: dict[Callable[[str], int], int] = {utf8_size: LEAST_LIMIT, body_size: LEAST_LIMIT + body_size("")}


def told(text: str) -> list[str]:
    """A text's characters without those that borders may add or drop: blanks, and what fences are made of."""
    return [character for character in text if character not in "`~pyx \n"]


def has_open_fence(text: str) -> bool:
    """Tell whether a fence is open at a text's end, as a parser of Markdown sees it."""
    return any(token.type == "fence" and "\x01" in token.content for token in MarkdownIt().parse(text + "\n\n\x01"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("short", ["short"]),
        ("a" * 40 + "\n\n" + "b" * 40, ["a" * 40, "b" * 40]),
        ("a" * 40 + "\n" + "b" * 10 + "\n\n\n" + "c" * 40, ["a" * 40 + "\n" + "b" * 10, "c" * 40]),
        ("a" * 40 + "\n" + "b" * 40, ["a" * 40, "b" * 40]),
        ("春光。" * 5 + "秋色" * 5, ["春光。" * 5, "秋色" * 5]),
        ("word " * 20, ["word " * 12, "word " * 8]),
        ("It is so. " * 5 + "b" * 30, ["It is so. " * 5, "b" * 30]),
        ("a" * 100, ["a" * 64, "a" * 36]),
        ("a" * 63 + "é" + "b", ["a" * 63, "éb"]),
        ("a" * 64 + "\n" + "b", ["a" * 64, "b"]),
        ("a" * 64 + "\n\n\n", ["a" * 64]),
        ("a" * 60 + FAMILY, ["a" * 60, FAMILY]),
        ("a" * 60 + "\U0001f1e8\U0001f1f3", ["a" * 60, "\U0001f1e8\U0001f1f3"]),
        ("a" * 63 + "e\u0301", ["a" * 63, "e\u0301"]),
        ("a" * 63 + "``` b", ["a" * 62, "a``` b"]),
    ],
)
def test_a_text_is_cut_at_its_best_border(text: str, expected: list[str]) -> None:
    assert split(text, 64) == expected


def test_code_is_closed_and_opened_again() -> None:
    text = "Code:\n\n  ```python\n" + "\n".join(f"  line_{number}()" for number in range(12)) + "\n  ```\nDone."
    parts = split(text, 100)
    assert parts[0].startswith("Code:\n\n  ```python\n  line_0()\n")
    assert parts[0].endswith("\n  ```")
    assert all(part.startswith("  ```python\n") for part in parts[1:])
    assert "".join(re.findall(r"line_\d+", " ".join(parts))) == "".join(f"line_{number}" for number in range(12))
    assert parts[-1].endswith("\n  ```\nDone.")


def test_a_blank_line_in_code_stays() -> None:
    text = "```\n" + "a" * 40 + "\n\n" + "b" * 40 + "\n```"
    assert split(text, 80) == ["```\n" + "a" * 40 + "\n\n```", "```\n" + "b" * 40 + "\n```"]


def test_code_that_was_not_closed_is() -> None:
    assert split("```py\nprint(", 64) == ["```py\nprint(\n```"]
    assert split("~~~\nprint()\n", 64) == ["~~~\nprint()\n~~~"]


def test_an_absurd_fence_does_not_break_the_limit() -> None:
    for text in ("```" + "x" * 500 + "\ncode\n```", "`" * 500 + "\ncode", "~~~ " + "春" * 300 + "\n" + "y" * 300):
        parts = split(text, 100)
        assert max(map(utf8_size, parts)) <= 100
        assert "".join(parts).count("x") >= text.count("x")


@pytest.mark.parametrize("size", SIZES)
@given(text=TEXTS, more=st.integers(0, 60))
@example(text="```\n" + "a" * 50 + "\n``", more=0)
@settings(max_examples=80, deadline=None)
def test_parts_are_within_the_limit_balanced_and_all_of_the_text(
    size: Callable[[str], int], text: str, more: int
) -> None:
    limit = SIZES[size] + more
    parts = split(text, limit, size)
    assert all(size(part) <= limit for part in parts)
    assert told("".join(parts)) == told(text)
    assert not any(has_open_fence(part) for part in parts if "    " not in part)


@given(text=TEXTS, more=st.integers(0, 60))
@example(text="```\n" + "a" * 54 + "\n``` \nb", more=0)
@example(text="a" * 50 + "\n\n" + "b" * 11 + "\n  \n\nc", more=0)
@settings(max_examples=60, deadline=None)
def test_parts_before_the_last_do_not_change_while_the_text_grows(text: str, more: int) -> None:
    before: list[str] = []
    for end in range(len(text) + 1):
        parts = split(text[:end], LEAST_LIMIT + more)
        assert parts[: len(before) - 1] == before[:-1]
        assert len(parts) >= len(before)
        before = parts


@pytest.mark.parametrize(
    "pattern",
    ["a", "春", "`", "```\n", "```\n\n", "\n", " ", "\n \n", "x. ", "e\u0301", "~", "a\n", FAMILY, "\U0001f1e8"],
)
@pytest.mark.parametrize(("limit", "size"), [(128, utf8_size), (20_000, body_size)])
def test_the_time_is_linear(pattern: str, limit: int, size: Callable[[str], int]) -> None:
    def time_s(length: int) -> float:
        text = "```\n" * (pattern == "\n") + pattern * (length // len(pattern))
        started = time.thread_time()
        split(text, limit, size)
        return time.thread_time() - started

    short_s = min(time_s(20_000) for _ in range(3))
    long_s = min(time_s(160_000) for _ in range(2))
    assert long_s < 8 * 3 * short_s + 0.05, "eight times the text takes more than thrice eight times as long"
