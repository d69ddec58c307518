"""The ways through a regular expression that one text can leave open at once. Pure; schema.py asks.

An upper bound, not the number itself: what follows one another multiplies, alternatives add up. llama.cpp's grammars
keep all of these ways, and look at each of them for every word of the vocabulary.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]?|\((?:\?:)?|\)|\||[*+?]\??|\{[\d,]*\}|.", re.DOTALL)
_DIGITS = 9
_ENOUGH = 64
"""Two to the power of it is beyond every bound."""
_Group = tuple[int, int, int]
"""The alternatives before the current one, the current one without its last piece, and that piece."""


def pattern_ways(pattern: str, most: int) -> int:
    """Return the ways, or `most` + 1 where there are more."""
    outer: list[_Group] = []
    others, ways, last = 0, 1, 1
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text[0] == "(":
            outer.append((others, ways * last, 1))
            others, ways, last = 0, 1, 1
        elif text == ")" and outer:
            inner = others + ways * last
            others, ways, _ = outer.pop()
            last = inner
        elif text == "|":
            others, ways, last = others + ways * last, 1, 1
        elif text[0] in "*+?":
            last = 2 * last * last if last > 1 else 2
        elif text[0] == "{" and len(text) > 1:
            last = _repeated(last, text[1:-1], most)
        else:
            ways, last = ways * last, 1
        others, ways, last = (min(number, most + 1) for number in (others, ways, last))
    while outer:  # llama.cpp refuses a pattern whose groups do not close
        inner = others + ways * last
        others, ways, _ = outer.pop()
        last = inner
    return min(others + ways * last, most + 1)


def _repeated(each: int, bounds: str, most: int) -> int:
    """Return the ways through a piece that is repeated: which of its ends is meant, and each piece's own ways."""
    first, comma, second = bounds.partition(",")
    least, largest = _whole(first), _whole(second)
    if not comma:
        return int(min(each ** min(least, _ENOUGH), most + 1))
    ends = largest - least + 1 if second else 2
    return int(min(max(ends, 1) * each ** min(max(largest, least, 1), _ENOUGH), most + 1))


def _whole(digits: str) -> int:
    return int(digits[:_DIGITS]) if digits.isdecimal() else 0
