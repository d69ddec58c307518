"""The prompt: a question of one line or more, edited with readline where Python has it."""

from __future__ import annotations

import locale
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

try:
    import readline
except ImportError:  # a Python without it edits as the terminal does
    readline = None  # type: ignore[assignment]
try:
    import termios
except ImportError:
    termios = None  # type: ignore[assignment]

BOLD, NORMAL = "\x1b[1m", "\x1b[0m"


class Discarded(Exception):
    """Ctrl-C: what was being typed is not sent. is_empty: nothing was."""

    def __init__(self, *, is_empty: bool) -> None:
        super().__init__()
        self.is_empty = is_empty


class Prompt:
    """Asks for questions. The history is that of this run.

    is_capable: the terminal knows control sequences. is_bold: the prompt is bold.
    """

    def __init__(self, *, is_capable: bool, is_bold: bool) -> None:
        self._first = _bold("> ") if is_bold else "> "
        self._more = _bold("| ") if is_bold else "| "
        _have_wide_keys()
        if readline is not None and "libedit" not in (readline.__doc__ or ""):
            if is_capable:
                readline.parse_and_bind("set enable-bracketed-paste on")
            readline.parse_and_bind("tab: self-insert")  # a file's name is no completion here

    def ask(self) -> str:
        """Return the next question; a line that ends with a backslash goes on in the next one.

        Errors: EOFError for Ctrl-D, Discarded for Ctrl-C.
        """
        lines: list[str] = []
        try:
            while True:
                line = _typed(self._more if lines else self._first)
                lines.append(line.removesuffix("\\"))
                if not line.endswith("\\"):
                    return "\n".join(lines)
        except KeyboardInterrupt:
            typed = readline.get_line_buffer() if readline is not None else ""
            sys.stdout.write("\n")
            raise Discarded(is_empty=not lines and not typed) from None


class _GoesOn(Exception):
    """The program was stopped, and goes on."""


def _typed(prompt: str) -> str:
    """Return a line. After a stop (Ctrl-Z, `fg`) it is asked for anew with what was typed: a shell had the terminal."""
    if readline is None:
        return input(prompt)

    def go_on() -> None:
        raise _GoesOn

    before = ""
    readline.set_startup_hook(lambda: readline.insert_text(before))
    try:
        with _when_it_goes_on(go_on):
            while True:
                try:
                    return input(prompt)
                except _GoesOn:
                    before = readline.get_line_buffer()
    finally:
        readline.set_startup_hook(None)


@contextmanager
def _when_it_goes_on(do: Callable[[], None]) -> Iterator[None]:
    """Do something each time that the program goes on in the foreground after it was stopped."""

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        try:
            is_in_front = os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
        except OSError:  # the terminal has gone, or is another one's
            return
        if is_in_front:
            do()

    before = signal.signal(signal.SIGCONT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


@contextmanager
def without_echo() -> Iterator[None]:
    """Show nothing of what is typed while an answer is drawn; it waits for the prompt, key by key."""
    if termios is None or not sys.stdin.isatty():
        yield
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    quiet = [*before[:3], before[3] & ~(termios.ECHO | termios.ICANON), *before[4:]]
    termios.tcsetattr(fd, termios.TCSADRAIN, quiet)
    try:
        with _when_it_goes_on(lambda: termios.tcsetattr(fd, termios.TCSADRAIN, quiet)):
            yield
    finally:
        try:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        except termios.error:  # the terminal has gone
            pass


def _have_wide_keys() -> None:
    """Name a UTF-8 locale where Python reads UTF-8 in none: readline asks for it, and would take 你 for Alt and keys.

    Such a locale is `LC_ALL=C`, and any that is not installed, as a login from another machine brings it along.
    """
    if locale.setlocale(locale.LC_CTYPE) == "C" and sys.stdin.encoding.lower() == "utf-8":
        os.environ["LC_ALL"] = "C.UTF-8"


def _bold(text: str) -> str:
    """Make a prompt bold; readline is told which characters take no room."""
    begin, end = ("\x01", "\x02") if readline is not None else ("", "")
    return f"{begin}{BOLD}{end}{text}{begin}{NORMAL}{end}"
