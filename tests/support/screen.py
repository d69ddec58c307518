"""A terminal's screen, as far as the client uses one: what a person sees, and what has scrolled away.

Source: ECMA-48 and xterm's control sequences; the last column waits with its wrap, as every terminal's does.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

_SEQUENCE = re.compile(
    r"\x1b\[(?P<mark>[?>=]?)(?P<given>[0-9;]*)(?P<final>[@-~])|\x1b\](?P<osc>[^\x07\x1b]*)(?:\x07|\x1b\\)"
)
_OPEN = re.compile(r"\x1b(?:\[[?>=]?[0-9;]*|\][^\x07]{0,4096})?\Z")


class Screen:
    """Takes the bytes that a program writes to its terminal.

    scrolled: the lines that have left at the top, oldest first.
    foreign: control sequences and characters that this screen does not know, which no test expects.
    """

    def __init__(self, rows: int = 24, columns: int = 80) -> None:
        self.rows, self.columns = rows, columns
        self.scrolled: list[str] = []
        self.foreign: list[str] = []
        self.modes: set[str] = set()
        """The private modes that are set: "2004" is bracketed paste. A hidden cursor is `-25`."""
        self.titles: list[str] = []
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, without blanks at their ends, up to the last one that has something."""
        lines = ["".join(line).rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def all(self) -> str:
        """All that can be read, with what has scrolled away."""
        return "\n".join([*self.scrolled, *self.shown])

    @property
    def line(self) -> str:
        """The line of the cursor."""
        return "".join(self._lines[self._row]).rstrip()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        text = self._rest + self._decoder.decode(data)
        unfinished = _OPEN.search(text)
        self._rest = unfinished[0] if unfinished else ""
        text = text[: len(text) - len(self._rest)]
        at = 0
        while at < len(text):
            found = _SEQUENCE.match(text, at)
            if found is not None:
                self._control(found)
                at = found.end()
            else:
                self._put(text[at])
                at += 1

    def _control(self, found: re.Match[str]) -> None:
        if found["osc"] is not None:
            self.titles.append(found["osc"])
            return
        given, final = found["given"], found["final"]
        count = int(given.split(";")[0] or 1) if final in "ABCDG" else 0
        if found["mark"] == "?" and final in "hl":
            on, off = (given, f"-{given}") if final == "h" else (f"-{given}", given)
            self.modes.add(on)
            self.modes.discard(off)
        elif final == "m":
            pass
        elif final == "A":
            self._row = max(self._row - count, 0)
            self._column = min(self._column, self.columns - 1)
        elif final in "CD":
            self._column = min(max(self._column + (count if final == "C" else -count), 0), self.columns - 1)
        elif final == "K":
            line = self._lines[self._row]
            if given == "2":
                line.clear()
            else:
                del line[self._column :]
        elif final == "J" and given in ("", "0"):
            del self._lines[self._row][self._column :]
            del self._lines[self._row + 1 :]
        else:
            self.foreign.append(found[0])

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._next_line()
        elif character == "\b":
            self._column = max(self._column - 1, 0)
        elif character == "\t":
            self._column = min((self._column // 8 + 1) * 8, self.columns - 1)
        elif unicodedata.category(character) == "Cc":
            if character != "\a":
                self.foreign.append(character)
        else:
            self._print(character)

    def _print(self, character: str) -> None:
        width = width_of(character)
        if not width:
            if self._column:
                self._lines[self._row][self._column - 1] += character
            return
        if self._column + width > self.columns:
            self._column = 0
            self._next_line()
        line = self._lines[self._row]
        line.extend(" " * (self._column + width - len(line)))
        line[self._column : self._column + width] = [character, *[""] * (width - 1)]
        self._column += width

    def _next_line(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])
        if self._row == self.rows:
            self.scrolled.append("".join(self._lines.pop(0)).rstrip())
            self._row -= 1


def width_of(character: str) -> int:
    """The columns of a character."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
