"""The hearing of requests from other processes, on a few threads.

The ends of one session are heard one after the other. So a session whose turn is held for long, as by many long
histories at once, takes one thread, however often it is interrupted, and the other sessions have the rest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
HEARERS = 8
"""Requests that are answered at a time; each settles a run, which takes a trip to Redis."""


class Hearing(Generic[T]):
    """Threads that hear requests. A context manager that waits for them.

    hear: hears one; it raises nothing.
    Threads: `_lock` guards the lines, and is held for memory only. A line is there while a thread hears it.
    """

    def __init__(self, hear: Callable[[T], None]) -> None:
        self._hear = hear
        self._pool = ThreadPoolExecutor(HEARERS, thread_name_prefix="hearer")
        self._lock = threading.Lock()
        self._lines: dict[str, deque[T]] = {}

    def __enter__(self) -> Hearing[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def add(self, request: T, line: str) -> None:
        """Hear a request after those of the same line; "" for no line."""
        if not line:
            self._pool.submit(self._hear, request)
            return
        with self._lock:
            if line in self._lines:
                self._lines[line].append(request)
                return
            self._lines[line] = deque((request,))
        self._pool.submit(self._hear_line, line)

    def _hear_line(self, line: str) -> None:
        while (request := self._next(line)) is not None:
            self._hear(request)

    def _next(self, line: str) -> T | None:
        with self._lock:
            if self._lines[line]:
                return self._lines[line].popleft()
            del self._lines[line]
            return None
