"""One lock for each session, which exists while a thread holds it or waits for it.

The desk holds a session's lock while it changes the session: admissions, settlements and deletions of one session come
one after the other, and a long history or a slow store holds up its own session alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SessionLocks:
    """Keeps the locks of the sessions that are being changed.

    Threads: `_lock` guards the dict and the counts, and is held for memory only. A thread that holds a session's lock
    may take it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, _CountedLock] = {}

    @contextmanager
    def of(self, session_id: str) -> Iterator[None]:
        """Wait for a session's lock, and hold it inside."""
        with self._lock:
            counted = self._locks.setdefault(session_id, _CountedLock())
            counted.wanted_by += 1
        try:
            with counted.lock:
                yield
        finally:
            with self._lock:
                counted.wanted_by -= 1
                if not counted.wanted_by:
                    del self._locks[session_id]


class _CountedLock:
    __slots__ = ("lock", "wanted_by")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.wanted_by = 0
