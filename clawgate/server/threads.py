"""The threads that serve requests: the worker's main loop gives them jobs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

log = logging.getLogger(__name__)


class Threads:
    """A pool that grows to its limit as jobs need it, and goes on with what it has where the system gives no more.

    The one of concurrent.futures raises in that case, and Python waits for its threads at exit, whatever they wait for.

    Threads: `submit`, `grow` and `close` belong to the main loop; `_lock` guards the count of unfinished jobs.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0

    @property
    def waiting(self) -> int:
        """Return how many jobs wait for a thread."""
        return self._jobs.qsize()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a thread do this."""
        with self._lock:
            self._unfinished += 1
        self._jobs.put(job)
        self.grow()

    def grow(self) -> None:
        """Start a thread where jobs are more than threads; where none is to be had, the next call tries again."""
        if self._count >= min(self._unfinished, self._limit):
            return
        try:
            # `start` waits until the thread runs: so a burst is taken in no faster than it is served
            threading.Thread(target=self._work, name=f"request-{self._count + 1}", daemon=True).start()
            self._count += 1
        except RuntimeError:
            log.error("no thread is left for a request, it waits: raise TasksMax or `ulimit -u`")

    def close(self) -> None:
        """End each thread after the jobs that there are."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # the thread must live on: others wait for it
                log.exception("a request's thread has failed")
            del job  # nothing of a request stays while its thread waits for the next
            with self._lock:
                self._unfinished -= 1
