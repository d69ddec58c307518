"""No control character of a server's reaches the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.terminal.clean import clean, one_line

HOSTILE = [
    ("\x1b]52;c;aGk=\x07", "]52;c;aGk="),  # the clipboard
    ("\x1b]0;title\x1b\\", "]0;title\\"),
    ("\x1b[2J\x1b[H", "[2J[H"),
    ("\x9b2J\x9d0;t\x9c", "2J0;t"),  # the same in C1
    ("a\rb\b\x7f\x00", "ab"),
    ("line\r\nnext\ttab", "line\nnext\ttab"),
    ("a\u2028b\u2029c\x85d", "a\nb\ncd"),
    ("\ud800", "\ufffd"),
    ("春光 🎋", "春光 🎋"),
]


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_control_characters_are_taken_out(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(st.characters(exclude_categories=())), st.integers(0, 20))
def test_no_control_character_is_left_at_any_cut(text: str, cut: int) -> None:
    cleaned = clean(text)
    assert not [each for each in cleaned if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t"]
    assert clean(text[:cut]) + clean(text[cut:]) == cleaned
    cleaned.encode()


def test_one_line_is_one() -> None:
    assert one_line(" a\n\x1b[1mb\tc\u2028d ") == "a [1mb c d"


def test_one_line_turns_no_words_around_it() -> None:
    assert one_line("a\u202eb\u2066c\u2069 \u200fא") == "abc \u200fא"
