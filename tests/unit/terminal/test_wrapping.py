"""Lines end where their script allows it, and no line is wider than the terminal."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.terminal.wrapping import CLOSING, OPENING, breaks
from tests.support.screen import width_of


def width(text: str) -> int:
    """The columns of a text."""
    return sum(map(width_of, text))


def lines(text: str, columns: int) -> list[str]:
    """Cut a text into its lines."""
    places = [0, *breaks(text, columns, width), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("one two three", 8, ["one two ", "three"]),
        ("one two", 7, ["one two"]),
        ("Python 是一种编程语言", 10, ["Python 是", "一种编程语", "言"]),
        ("你好，世界。", 5, ["你", "好，", "世", "界。"]),
        ("你好（世界）", 6, ["你好", "（世", "界）"]),
        ("a" * 9, 4, ["aaaa", "aaaa", "a"]),
        ("see https://example.org/a", 10, ["see ", "https://ex", "ample.org/", "a"]),
        ("春\U0001f469\u200d\U0001f680光", 4, ["春", "\U0001f469\u200d\U0001f680", "光"]),
        ("ｅ\u0301春", 2, ["ｅ\u0301", "春"]),
        ("", 4, [""]),
        ("春", 1, ["春"]),
    ],
)
def test_lines_end_where_they_may(text: str, columns: int, expected: list[str]) -> None:
    assert lines(text, columns) == expected


WORDS = st.text(st.sampled_from("ab ，。（）春光好é🎋"), max_size=60)


@given(WORDS, st.integers(6, 20))
def test_no_line_is_too_wide_and_nothing_is_lost(text: str, columns: int) -> None:
    cut = lines(text, columns)
    assert "".join(cut) == text
    assert all(width(line.rstrip(" ")) <= columns for line in cut)


@given(st.text(st.sampled_from("春光好，。（）"), max_size=40), st.integers(12, 20))
def test_punctuation_stays_where_it_belongs(text: str, columns: int) -> None:
    if any(len(run) > 3 for run in text.replace("春", " ").replace("光", " ").replace("好", " ").split()):
        return  # a run of punctuation that fills a line is cut anywhere
    cut = [line for line in lines(text, columns) if line]
    assert not [line for line in cut[1:] if line[0] in CLOSING]
    assert not [line for line in cut[:-1] if line[-1] in OPENING]
