"""Answers as plain text, as they come: for a pipe, for a terminal that can no more, and where rich is absent."""

from __future__ import annotations

import shutil
from typing import TextIO

from clawgate.terminal.clean import clean, one_line

DIM, NORMAL, ERASE = "\x1b[2m", "\x1b[0m", "\r\x1b[2K"


class PlainDisplay:
    """Writes the answer to `out`; all else to `beside`, where that is given: the same terminal, or another stream.

    Nothing but the answer is ever written to an `out` of its own.

    is_capable: `beside` is a terminal that knows dim text and can erase a line.
    shows_thinking: all of the model's thinking is written, too.
    """

    def __init__(
        self, out: TextIO, beside: TextIO | None = None, *, is_capable: bool = False, shows_thinking: bool = False
    ) -> None:
        self._out = out
        self._beside = beside
        self._is_apart = beside is not out
        self._is_capable = is_capable
        self._shows_thinking = shows_thinking
        self._open_on: TextIO | None = None  # where a line is not over
        self._is_dim = False
        self._has_thinking = False
        self._status = ""
        self._has_said = ""

    def text(self, piece: str) -> None:
        """Write a piece of the answer."""
        self._write(self._out, clean(piece))

    def thinking(self, piece: str) -> None:
        """Write a piece of the thinking, where it is shown."""
        if self._shows_thinking and self._beside is not None:
            self._has_thinking = True
            self._write(self._beside, clean(piece), is_dim=True)

    def thought(self, seconds: int) -> None:
        """Say how long it took."""
        self._has_thinking = False
        self.note(f"Thought for {seconds} s")

    def restarted(self) -> None:
        """Say that what stands there is void."""
        if self._has_thinking:
            self.note("It thinks anew.")

    def note(self, words: str) -> None:
        """Write a line of its own."""
        if self._beside is not None and not self._is_hidden():
            self._erase()
            self._begin_line()
            self._beside.write(self._dim(one_line(words)) + "\n")

    def status(self, words: str) -> None:
        """Show a line that is erased again, or its words once, without their seconds, where none can be erased."""
        if self._beside is None or words == self._status or self._is_hidden():
            return
        if self._is_capable and self._open_on is None:
            self._erase()
            most = shutil.get_terminal_size().columns - 1  # one that is folded could not be erased
            self._beside.write(self._dim(one_line(words)[:most]))
            self._status = words
            return
        what = words.rpartition("…")[0]
        if what and what != self._has_said:
            self.note(f"({what}…)")
        self._has_said = what

    def flush(self) -> None:
        """Let what was written go out."""
        self._out.flush()
        if self._beside is not None:
            self._beside.flush()

    def end(self) -> None:
        """End the line."""
        self._erase()
        self._begin_line()
        self._has_said = ""
        self.flush()

    def _write(self, stream: TextIO, text: str, *, is_dim: bool = False) -> None:
        if not text:
            return
        self._erase()
        if self._open_on not in (None, stream) or (self._open_on is stream and is_dim != self._is_dim):
            self._begin_line()
        stream.write(self._dim(text) if is_dim else text)
        self._is_dim = is_dim
        self._open_on = None if text.endswith("\n") else stream

    def _begin_line(self) -> None:
        if self._open_on is not None:
            self._open_on.write("\n")
            self._open_on = None

    def _is_hidden(self) -> bool:
        """Tell whether a line of our own would stand in the middle of the answer's, as a person sees both streams."""
        return self._is_apart and self._open_on is self._out

    def _erase(self) -> None:
        if self._status and self._beside is not None:
            self._beside.write(ERASE)
            self._beside.flush()
        self._status = ""

    def _dim(self, words: str) -> str:
        return f"{DIM}{words}{NORMAL}" if self._is_capable and words else words
