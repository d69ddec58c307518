"""First come, first served, for those that wait for the one model. engine.py takes a turn for each use of it."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """A lock whose waiters get it in the order in which they came; `threading.Lock` promises no order.

    Threads: any; not re-entrant. `_guard` guards the queue and is held for memory only.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        mine = threading.Event()
        with self._guard:
            self._queue.append(mine)
            if len(self._queue) == 1:
                mine.set()
        mine.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._guard:
            self._queue.popleft()
            if self._queue:
                self._queue[0].set()
