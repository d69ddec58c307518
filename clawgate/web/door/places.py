"""Places for work that takes the processor for long: so many at a time in a process, whatever is asked.

app.py makes them, since they outlive a reload. A request that finds none free is refused at once: a thread that waited
would be missing for interrupts and health.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from clawgate.errors import Busy


class Places:
    """A number of places for one kind of work; `doing` completes the sentence "2 …" for clients that find none free."""

    def __init__(self, count: int, doing: str) -> None:
        self._free = BoundedSemaphore(count)
        self._told = f"{count} {doing}; try again"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have a place inside.

        Errors: Busy.
        """
        if not self._free.acquire(blocking=False):
            raise Busy(self._told)
        try:
            yield
        finally:
            self._free.release()
