"""The bot's own sentences on their way to the messenger, on a few threads that come and go."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from clawgate.bots.message import Reply, Snapshot, Undelivered
from clawgate.bots.talk import Key

logger = logging.getLogger(__name__)

MAX_THREADS = 4
MAX_WAITING = 100
SILENT_S = 60.0
"""The log names sentences that were dropped once in so many seconds."""


class Sentences:
    """Delivers sentences; beyond `MAX_WAITING` they are dropped, so that a flood costs neither threads nor quota.

    Threads: any; the lock guards what waits. No thread is left once nothing waits.
    """

    def __init__(self, on_idle: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        """on_idle: called with the end of each thread; `is_idle` may be true then."""
        self._on_idle = on_idle
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Reply, str]] = deque()
        self._threads = 0
        self._dropped = 0
        self._logged_at: float | None = None

    @property
    def is_idle(self) -> bool:
        """True while nothing waits, and nothing is on its way."""
        return not self._threads

    def say(self, reply: Reply, sentence: str) -> None:
        """Send a sentence in answer to a message; returns at once."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._drop()
                return
            self._waiting.append((reply, sentence))
            if self._threads >= MAX_THREADS:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._deliver_all, name="sentences", daemon=True).start()
        except RuntimeError:  # the system gives no further thread
            with self._lock:
                self._threads -= 1
                if not self._threads:
                    self._waiting.clear()
                    self._drop()

    def _drop(self) -> None:
        self._dropped += 1
        now = self._clock()
        if self._logged_at is None or now - self._logged_at >= SILENT_S:
            logger.warning("the bot has too much to say: sentences are dropped, %d so far", self._dropped)
            self._logged_at = now

    def _deliver_all(self) -> None:
        try:
            while (waiting := self._next()) is not None:
                deliver(waiting[0], Snapshot(waiting[1], is_over=True))
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise
        finally:
            self._on_idle()

    def _next(self) -> tuple[Reply, str] | None:
        """Take what waits; where nothing does, this thread counts no more, so that the next sentence has one."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None


def deliver(reply: Reply, snapshot: Snapshot, whose: Key | None = None) -> None:
    """Deliver the whole of an answer; where that is not possible, the log says so, and whose it was."""
    try:
        reply.finish(snapshot)
    except Undelivered as error:
        what = f"an answer of {len(snapshot.text)} characters" if whose else "a sentence"
        logger.error("%s was not delivered: %s", f"{what} to {whose}" if whose else what, error)
