"""Where a line may end: at spaces, and between the characters of scripts that have none. Pure.

rich ends lines at spaces alone. So a Chinese sentence behind one Latin word would begin on a line of its own, and the
line before it would be nearly empty.
Source: UAX #14 in outline; the forbidden places are those of GB/T 15834 and JIS X 4051.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

CLOSING = frozenset("，。、；：！？）】》」』〉〕〗〙…—～·,.;:!?)]}>%’”ー々")
"""No line begins with these."""
OPENING = frozenset("（【《「『〈〔〖〘([{<‘“￥$#@")
"""No line ends with these."""
_JOINER = "\u200d"
_FIRST_WIDE = "\u1100"
_MODIFIERS = ("\U0001f3fb", "\U0001f3ff")
_FLAGS = ("\U0001f1e6", "\U0001f1ff")


def breaks(text: str, width: int, width_of: Callable[[str], int]) -> list[int]:
    """Return the places at which a line of text is to be cut, so that no part is wider than width.

    Shape: text has no line ends; blanks at the end of a part do not count.
    width_of: the columns that a text takes.
    """
    places: list[int] = []
    used, at = 0, 0
    for unit in _units(text):
        needed = width_of(unit.rstrip(" "))
        if used and used + needed > width:
            places.append(at)
            used = 0
        if needed > width:  # a word that is longer than a line
            for character in unit:
                step = width_of(character)
                if used and used + step > width:
                    places.append(at)
                    used = 0
                used += step
                at += 1
        else:
            used += width_of(unit)
            at += len(unit)
    return places


def _units(text: str) -> Iterator[str]:
    """Yield the parts within which no line may end; blanks belong to the part before them."""
    start = 0
    for place in range(1, len(text)):
        if _may_end(text[place - 1], text[place]):
            yield text[start:place]
            start = place
    if text:
        yield text[start:]


def _may_end(before: str, after: str) -> bool:
    if after == " ":
        return False
    if before == " ":
        return True
    if before < _FIRST_WIDE and after < _FIRST_WIDE:
        return False
    if after in CLOSING or before in OPENING or _is_joined(before, after):
        return False
    return _is_wide(before) or _is_wide(after)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _is_joined(before: str, after: str) -> bool:
    """Tell whether two characters are one: an accent, a variant, a sequence of emoji, a flag."""
    if before == _JOINER or after == _JOINER or unicodedata.category(after).startswith("M"):
        return True
    if _FLAGS[0] <= after <= _FLAGS[1]:
        return _FLAGS[0] <= before <= _FLAGS[1]
    return _MODIFIERS[0] <= after <= _MODIFIERS[1]
