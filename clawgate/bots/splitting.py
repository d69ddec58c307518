"""A Markdown text, cut into parts for messengers that bound the length of a message: pure.

A part ends at a blank line between blocks where one lies in its second half, else at a line end outside code, at any
line end, at a sentence's end, at a blank, and at last between any two characters. A fence that is open at a part's end
is closed there and opened again in the next part. Each part is a document of its own: a line that goes on in the next
part is read there as a line that begins.

The parts before the last one never change while the text grows. So no decision may depend on what is still to come:
once a part has a fence in it, room to close the longest one stays reserved, and where a part is full depends on its
characters alone.
Source: CommonMark 0.31, "Fenced code blocks".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_FENCE = 64
"""A fence of more marks is text: it is not opened again."""
MAX_JOINED = 64
"""So many characters that belong together are not cut; with more, they are."""
LEAST_LIMIT = 64

Size = Callable[[str], int]
_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})([^\n]*)")
_MARKS = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_BLANK_LINES = re.compile(r"(?:[ \t\r]*\n)+")
_SENTENCE = re.compile(r"[。！？!?；…][”’」』）)\]]*[ \t]*|\.[ \t]+")
_JOINER = "\u200d"
_MODIFIERS = ("\U0001f3fb", "\U0001f3ff")
_FLAGS = ("\U0001f1e6", "\U0001f1ff")


class _Fence(NamedTuple):
    """A fence that is open; info: the words behind it."""

    indent: str
    marks: str
    info: str

    def opened(self, size: Size, limit: int) -> str:
        """Return the line that opens it again; without its words where these are too long."""
        whole = f"{self.indent}{self.marks}{self.info}\n"
        return whole if size(whole) - size("") <= limit // 4 else f"{self.indent}{self.marks}\n"

    @property
    def closed(self) -> str:
        """The line that closes it, as far indented: else it would stand outside of the list that its code is in."""
        return self.indent + self.marks


class _Cut(NamedTuple):
    """The place where a part ends; next_at: where the next one begins."""

    at: int
    next_at: int
    fence: _Fence | None = None


def utf8_size(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def split(text: str, limit: int, size: Size = utf8_size) -> list[str]:
    """Cut a text into parts, none of which is larger than limit; an empty text has none.

    Shape: all of the text is in the parts, but for blank lines, and the one line end, at their borders.
    size: the size of a text, in the unit of limit. It is at least 1 for each character, and that of two texts together
    is the sum of both but for a constant, as it is for the bytes of a JSON object with the text in it.
    limit: at least `LEAST_LIMIT` more than the size of an empty text.
    """
    return list(_parts(text, limit, size))


def open_fence(text: str) -> str:
    """Return the line that opens again the fence that is open at a text's end; "" where none is."""
    fence = _open_in(text)
    return fence.opened(utf8_size, 4 * MAX_FENCE) if fence else ""


def closed(text: str) -> str:
    """Return a text with the fence closed that is open at its end: what stands below is no code then."""
    fence = _open_in(text)
    if fence is None:
        return text
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{fence.closed}"


def _open_in(text: str) -> _Fence | None:
    fence = None
    for line in text.split("\n"):
        fence = _behind(line, fence, MAX_FENCE)
    return fence


def _parts(text: str, limit: int, size: Size) -> Iterator[str]:
    most_marks = min(MAX_FENCE, (limit - size("")) // 8)
    content_end = len(text.rstrip())
    at, fence = 0, None
    while at < len(text):
        head = fence.opened(size, limit) if fence else ""
        room = _room(text, at, head, limit, size, most_marks)
        if at + room >= len(text):
            cut = _end_of(text, at, fence, most_marks)
        else:
            cut = _best(text, at, room, fence, most_marks)
        body = head + text[at : cut.at]
        if cut.fence is not None:
            body += ("" if body.endswith("\n") and cut.at == len(text) else "\n") + cut.fence.closed
        if body.strip() or cut.at == len(text):
            yield body
        is_over = cut.next_at >= content_end  # nothing but blanks would follow
        at, fence = (len(text), None) if is_over else (cut.next_at, cut.fence)


def _room(text: str, at: int, head: str, limit: int, size: Size, most_marks: int) -> int:
    """Return how many characters from a place on a part can hold; at least one."""
    reserved = size("\n   " + "`" * most_marks) - size("")
    if head:
        return max(1, _fitting(text, at, head, limit - reserved, size))
    room = _fitting(text, at, head, limit, size)
    marks = _MARKS.search(text[at : at + room])
    if marks is not None:
        room = max(_fitting(text, at, head, limit - reserved, size), marks.end() - 1)
    return max(1, room)


def _fitting(text: str, at: int, head: str, limit: int, size: Size) -> int:
    """Return how many characters fit into limit behind a head. The time it takes is that of what fits."""
    left = len(text) - at

    def fits(count: int) -> bool:
        return size(head + text[at : at + count]) <= limit

    low, high = 0, max(16, limit // 16)
    while high < left and fits(high):
        low, high = high, 2 * high
    if high >= left:
        if fits(left):
            return left
        high = left
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _end_of(text: str, at: int, fence: _Fence | None, most_marks: int) -> _Cut:
    """Return the end of the text as a cut, with the fence that is open there."""
    for line in text[at:].split("\n"):
        fence = _behind(line, fence, most_marks)
    return _Cut(len(text), len(text), fence)


def _best(text: str, at: int, room: int, fence: _Fence | None, most_marks: int) -> _Cut:
    """Return the best cut of a part that can hold so many characters, while more are left."""
    between = outside = inside = None
    place, end = at, at + room
    while (line_end := text.find("\n", place, end + 1)) >= 0:
        fence = _behind(text[place:line_end], fence, most_marks)
        place = line_end + 1
        if line_end - at < room // 2 or line_end == at:
            continue
        if fence is not None:
            inside = _Cut(line_end, place, fence)
        elif blanks := _BLANK_LINES.match(text, place, end + 1):
            between = _Cut(line_end, place)
            place = blanks.end()
        else:
            outside = _Cut(line_end, place)
    found = between or outside
    if found is not None:
        blanks = _BLANK_LINES.match(text, found.next_at)
        return found._replace(next_at=blanks.end()) if blanks else found
    return inside or _cut_in_line(text, at, place, end, fence, most_marks)


def _cut_in_line(text: str, at: int, place: int, end: int, fence: _Fence | None, most_marks: int) -> _Cut:
    """Return a cut in the line that begins at a place, which is longer than what a part can hold."""
    is_code = _behind(text[place:end], fence, most_marks) is not None
    cut = end if is_code else _within_line(text, (at + end) // 2, end)
    cut = _between_characters(text, at, cut)
    return _Cut(cut, cut, _behind(text[place:cut], fence, most_marks))


def _behind(line: str, fence: _Fence | None, most_marks: int) -> _Fence | None:
    """Return the fence that is open behind a line."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    indent, marks, rest = found.groups()
    if fence is not None:
        is_end = marks[0] == fence.marks[0] and len(marks) >= len(fence.marks) and not rest.strip()
        return None if is_end else fence
    if len(marks) > most_marks or (marks[0] == "`" and "`" in rest):
        return None
    return _Fence(indent, marks, rest.rstrip())


def _within_line(text: str, start: int, end: int) -> int:
    """Return the last end of a sentence, else the last blank, else the end."""
    ends = [match.end() for match in _SENTENCE.finditer(text, start, end)]
    return ends[-1] if ends else text.rfind(" ", start, end) + 1 or end


def _between_characters(text: str, at: int, cut: int) -> int:
    """Return the nearest place before a cut that divides no accent, emoji, flag or row of marks."""
    for place in range(cut, max(at, cut - MAX_JOINED), -1):
        if not _is_joined(text[place - 1], text[place]):
            return place
    return cut


def _is_joined(before: str, after: str) -> bool:
    if _JOINER in (before, after) or unicodedata.category(after).startswith("M"):
        return True
    if _FLAGS[0] <= after <= _FLAGS[1]:
        return _FLAGS[0] <= before <= _FLAGS[1]
    if after in "`~":  # the rest of a row would be a fence at the start of a part
        return True
    is_pair = "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff"
    return is_pair or (before, after) == ("\r", "\n") or _MODIFIERS[0] <= after <= _MODIFIERS[1]
