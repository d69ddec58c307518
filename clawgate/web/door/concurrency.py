"""A limit on work that takes the processor for long: the number of such jobs that a process does at a time.

app.py makes it, since it outlives a reload. A request that finds no place free is refused at once: a waiting thread
would be missing for interrupts and health.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from clawgate.errors import Busy


class ConcurrencyLimit:
    """The places for one kind of work; `doing` completes the sentence "2 …" of the refusal."""

    def __init__(self, count: int, doing: str) -> None:
        self._free = BoundedSemaphore(count)
        self._refusal = f"{count} {doing}; try again"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place inside.

        Errors: Busy.
        """
        if not self._free.acquire(blocking=False):
            raise Busy(self._refusal)
        try:
            yield
        finally:
            self._free.release()
