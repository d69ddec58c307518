"""A Markdown text that is still being written, cut into the parts that are over: pure.

A top-level block is over once another one follows it, an item of a list once the next one does, and a line of fenced
code at its end. Such a part never changes any more, so that each is shown once, for good. HTML and definitions of
links are text here: a terminal shows what it cannot render.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from clawgate.emphasis import befriend_cjk

MAX_OPEN = 1 << 14
"""A block of so many characters is shown as plain text: Markdown in one piece of that length takes too long."""
STEP = 1 << 12
MAX_LINES = 1 << 10
"""So many lines of code are told again with each new one, to be coloured with it; later ones are told alone."""
MAX_NESTING = 100
_LISTS = ("bullet_list_open", "ordered_list_open")


class Part(NamedTuple):
    """A part of the text that is over.

    text: the Markdown, the plain text, or lines of code with their ends: all so far, those from `first_line` on new.
    is_joined: no blank line stands before it; of code, that it is not its first part.
    info: of code, the words behind its fence; the first is its language.
    is_closed: of code, that it is its last part.
    """

    kind: Literal["markdown", "code", "plain"]
    text: str
    is_joined: bool = False
    info: str = ""
    first_line: int = 0
    is_closed: bool = False


class _Fence(NamedTuple):
    end: re.Pattern[str]
    indent: int
    info: str
    lines: list[str]


def make_parser() -> MarkdownIt:
    """Make the parser of this module, and of what shows its parts."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable("reference")
    befriend_cjk(parser)
    return parser


class Blocks:
    """Takes a text piece by piece, and gives back the parts that are over."""

    def __init__(self, parser: MarkdownIt) -> None:
        self._parser = parser
        self._rest = ""
        self._fence: _Fence | None = None
        self._is_in_list = False

    @property
    def tail(self) -> Part | None:
        """The part that is still open; None where there is none. Of code, the open line alone."""
        if not self._rest.strip():
            return None
        if self._fence is not None:
            return Part("plain", self._rest, is_joined=True)
        return Part("markdown", self._rest, self._is_in_list)

    def feed(self, text: str) -> list[Part]:
        """Take the next piece; return what is over now."""
        parts: list[Part] = []
        for at in range(0, len(text), STEP):  # so that only what is open is long
            step = text[at : at + STEP]
            self._rest += step
            if "\n" in step or len(self._rest) > MAX_OPEN:
                parts += self._parts()
        return parts

    def end(self) -> list[Part]:
        """Return all that is left: the text is over."""
        if self._rest and not self._rest.endswith("\n"):
            self._rest += "\n"
        parts = list(self._parts(is_end=True))
        if self._fence is not None:  # it was never closed
            parts.append(self._code(self._fence, len(self._fence.lines), is_closed=True))
            self._fence = None
        return parts

    def _parts(self, *, is_end: bool = False) -> Iterator[Part]:
        while self._rest:
            if self._fence is not None:
                yield from self._code_lines(self._fence)
                if self._fence is not None:
                    break
            else:
                yield from self._blocks(is_end=is_end)
                if self._fence is None:
                    break
        if len(self._rest) > MAX_OPEN:
            yield Part("plain", self._rest)
            self._rest = ""

    def _blocks(self, *, is_end: bool) -> Iterator[Part]:
        """Yield the blocks that are over, up to a fence, which is entered: its code is taken line by line."""
        whole, end, _ = self._rest.rpartition("\n")
        if not end or len(whole) > MAX_OPEN:
            return
        lines = (whole + end).split("\n")
        blocks = _blocks_of(self._parser.parse(whole + end), len(lines))
        cut = 0
        for block in blocks:
            if block.token.type == "fence":
                cut = block.pieces[0][0] + 1
                self._fence = _fence_of(block.token, lines[cut - 1])
                break
            is_open = block is blocks[-1] and not is_end
            for start, cut in block.pieces[:-1] if is_open else block.pieces:
                yield Part("markdown", "\n".join(lines[start:cut]), self._is_in_list)
                self._is_in_list = (start, cut) != block.pieces[-1]
        self._rest = "\n".join(self._rest.split("\n")[cut:])

    def _code_lines(self, fence: _Fence) -> Iterator[Part]:
        """Yield the lines of code that have come."""
        shown = len(fence.lines)
        *lines, rest = self._rest.split("\n")
        for index, line in enumerate(lines):
            if fence.end.fullmatch(line):
                self._fence = None
                self._rest = "\n".join([*lines[index + 1 :], rest])
                yield self._code(fence, shown, is_closed=True)
                return
            blanks = len(line) - len(line.lstrip(" "))
            fence.lines.append(line[min(fence.indent, blanks) :])
        self._rest = rest
        if len(fence.lines) > shown:
            yield self._code(fence, shown)

    def _code(self, fence: _Fence, shown: int, *, is_closed: bool = False) -> Part:
        is_long = len(fence.lines) > MAX_LINES
        text = "".join(f"{line}\n" for line in fence.lines[shown if is_long else 0 :])
        return Part("code", text, shown > 0, "" if is_long else fence.info, 0 if is_long else shown, is_closed)


class _Block(NamedTuple):
    """A top-level block; pieces are the lines of its items, or all of its lines: from one to before another."""

    token: Token
    pieces: list[tuple[int, int]]


def _blocks_of(tokens: list[Token], line_count: int) -> list[_Block]:
    blocks: list[_Block] = []
    end = line_count
    items: list[int] = []
    for token in reversed(tokens):
        if token.map and token.type == "list_item_open" and token.level == 1:
            items.insert(0, token.map[0])
        elif token.map and token.level == 0:
            starts = [token.map[0], *(items[1:] if token.type in _LISTS else [])]
            blocks.insert(0, _Block(token, list(zip(starts, [*starts[1:], end], strict=True))))
            end, items = token.map[0], []
    return blocks


def _fence_of(token: Token, line: str) -> _Fence:
    indent = len(line) - len(line.lstrip(" "))
    mark = token.markup
    return _Fence(re.compile(rf" {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*"), indent, token.info.strip(), [])
