"""The signals that end things: Ctrl-C, a service manager's stop, a terminal that is closed.

While an answer is read, each is put into its inbox: nothing is torn apart in the middle of a line. Anywhere else Ctrl-C
is a KeyboardInterrupt, and the others leave.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Leave(BaseException):
    """A signal asks for the end; nothing but the outermost caller catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Signals:
    """Handles the signals inside its block; one that is ignored stays ignored, as nohup sets it.

    Threads: the main one.
    """

    def __init__(self) -> None:
        self._take: Callable[[int], None] | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Signals:
        for number in NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    @contextmanager
    def going_to(self, take: Callable[[int], None]) -> Iterator[None]:
        """Give each signal's number to a function, which may be called between any two steps of the block."""
        self._take = take
        try:
            yield
        finally:
            self._take = None

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._take is not None:
            self._take(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise Leave(number)
