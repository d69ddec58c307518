"""Turns: one lock for each session, there for as long as somebody wants it.

The desk does what changes a session in its turn: admissions, settlements and deletions of one session come one after
the other, and a long history or a slow store holds up its own session alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Gives each session its lock.

    Threads: `_lock` guards the dict and the counts, and is held for memory only. A thread that holds a turn may take
    it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @contextmanager
    def of(self, session_id: str) -> Iterator[None]:
        """Wait for a session's turn, and hold it inside."""
        with self._lock:
            turn = self._turns.setdefault(session_id, _Turn())
            turn.wanted_by += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.wanted_by -= 1
                if not turn.wanted_by:
                    del self._turns[session_id]


class _Turn:
    __slots__ = ("lock", "wanted_by")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.wanted_by = 0
