"""The display of an answer: the plain one of plain.py, or the rendered one of screen.py. turn.py drives it."""

from __future__ import annotations

from typing import Protocol


class Display(Protocol):
    """Shows answers, one after another. Texts are a server's, and each method cleans what it is given.

    Errors: OSError where the terminal, or the reader of a pipe, has gone.
    """

    def text(self, piece: str) -> None:
        """Take the next piece of the answer."""

    def thinking(self, piece: str) -> None:
        """Take the next piece of the model's thinking."""

    def thought(self, seconds: int) -> None:
        """Note that the thinking is over, and how long it took."""

    def restarted(self) -> None:
        """Take the thinking back."""

    def note(self, words: str) -> None:
        """Show a line of our own, dim, for good."""

    def status(self, words: str) -> None:
        """Show what is being waited for, until the next call; "" shows nothing."""

    def flush(self) -> None:
        """Show what has come since the last flush."""

    def end(self) -> None:
        """End the answer: all of it is shown, and the cursor stands at the beginning of a line."""
