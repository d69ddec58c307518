"""Answers as rendered Markdown: what is over is printed once and scrolls away; the open end below it is drawn anew.

The open end is never higher than the screen, so that what has scrolled away is never touched. The cursor is never
hidden: whatever ends this process, the terminal is in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.style import Style
from rich.theme import Theme

from clawgate.terminal.blocks import Blocks, Part, make_parser
from clawgate.terminal.clean import clean, one_line
from clawgate.terminal.markdown import Line, Rendering, Wide

THINKING_LINES = 3
MAX_TAIL = 1 << 12
"""The end of a longer open block is shown as plain text, since all of it is rendered again with each piece."""
SLOW_S = 0.05
REST = 4
"""After a slow drawing, so many times as long passes before the open end, or more of a code, alone is drawn again."""
DIM = Style(dim=True)
THEME = Theme({"markdown.code": "cyan"})


class Screen:
    """Shows answers on a terminal.

    shows_thinking: all of the model's thinking stays; else its last lines are shown while it thinks.
    """

    def __init__(self, out: TextIO, *, shows_thinking: bool = False) -> None:
        self._console = _Console(file=out, highlight=False, markup=False, emoji=False, theme=THEME)
        self._parser = make_parser()
        self._rendering = Rendering(self._console, self._parser)
        self._shows_thinking = shows_thinking
        self._open = _Lines([])
        """The open part; changed in place, since Live draws it wherever anything is printed."""
        self._live: Live | None = None
        self._rests_until = 0.0
        self._begin()

    def _begin(self) -> None:
        self._blocks = Blocks(self._parser)
        self._thinking = ""
        self._status = ""
        self._over: list[Line | Part] = []
        self._has_text = False

    def text(self, piece: str) -> None:
        """Take a piece of the answer."""
        for part in self._blocks.feed(clean(piece)):
            self._take(part)

    def thinking(self, piece: str) -> None:
        """Take a piece of the thinking."""
        self._thinking += clean(piece)
        if self._shows_thinking:
            whole, end, self._thinking = self._thinking.rpartition("\n")
            if end:
                self._over += self._dim_lines(whole)

    def thought(self, seconds: int) -> None:
        """Put one line in the place of the thinking."""
        if self._shows_thinking and self._thinking:
            self._over += self._dim_lines(self._thinking)
        self._thinking = ""
        self.note(f"Thought for {seconds} s")
        self._has_text = True  # a blank line parts it from the answer

    def restarted(self) -> None:
        """Take the thinking back."""
        self._thinking = ""
        if self._shows_thinking:
            self.note("It thinks anew.")

    def note(self, words: str) -> None:
        """Print a dim line."""
        self._over.append([Segment(one_line(words), DIM)])

    def status(self, words: str) -> None:
        """Show a dim line at the end."""
        self._status = one_line(words)

    def flush(self) -> None:
        """Draw what has come."""
        began_at = time.monotonic()
        if began_at < self._rests_until and all(_is_open_code(each) for each in self._over):
            return
        over = list(self._lines_over())
        self._open.lines = self._open_end()
        if self._live is None and self._open.lines:
            self._put(over)
            over = []
            self._live = self._began()
        if over:
            self._put(over)  # and what is open, below it
        elif self._live is not None:
            self._live.refresh()
        now = time.monotonic()
        took_s = now - began_at
        self._rests_until = now + REST * took_s if took_s > SLOW_S else 0.0

    def _began(self) -> Live:
        live = Live(
            self._open,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        live.start()
        return live

    def end(self) -> None:
        """Print the rest."""
        for part in self._blocks.end():
            self._take(part)
        self._status = self._thinking = ""
        self._rests_until = 0.0
        if self._live is not None:
            self.flush()
            self._live.stop()
            self._live = None
        self.flush()
        self._begin()

    def _take(self, part: Part) -> None:
        """Keep a part for the next drawing, lines of code with those before them: all of a code is coloured at once."""
        last = self._over[-1] if self._over else None
        if part.first_line and isinstance(last, Part) and _is_open_code(last):
            self._over[-1] = part._replace(is_joined=last.is_joined, first_line=last.first_line)
        else:
            self._over.append(part)

    def _lines_over(self) -> Iterator[Line]:
        """Yield the lines that are over and not printed yet, and forget them."""
        over, self._over = self._over, []
        for each in over:
            if isinstance(each, Part):
                lines = self._rendering.lines(each)
                if lines and self._has_text and not each.is_joined:
                    yield []
                self._has_text = self._has_text or bool(lines)
                yield from lines
            else:
                yield each

    def _put(self, lines: list[Line]) -> None:
        if lines:
            self._console.print(_Lines(lines), end="", crop=False, soft_wrap=True)

    def _open_end(self) -> list[Line]:
        """Render what is still open, at most as high as the screen lets it be."""
        status = self._dim_lines(self._status)[:1] if self._status else []
        most = max(self._console.height - 2, 1)
        if self._thinking:
            return [*self._dim_lines(self._thinking[-MAX_TAIL:].rstrip())[-min(THINKING_LINES, most) :], *status]
        tail = self._blocks.tail
        if tail is None:
            return status
        is_spaced = self._has_text and not tail.is_joined
        if len(tail.text) > MAX_TAIL:
            tail = Part("plain", tail.text[-MAX_TAIL:], tail.is_joined)
        lines = self._rendering.lines(tail)
        return [*([[]] if is_spaced and lines else []), *lines][-most:] + status

    def _dim_lines(self, text: str) -> list[Line]:
        return self._console.render_lines(Wide(text, style=DIM), pad=False)


def _is_open_code(over: Line | Part) -> bool:
    return isinstance(over, Part) and over.kind == "code" and not over.is_closed


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Leave the cursor alone, which Live would hide."""
        return False


class _Lines:
    """Lines that are rendered already."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from line
            yield Segment.line()
