"""The bot's own sentences on their way to the messenger, on a few threads that come and go."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from clawgate.bots.message import Reply, Snapshot, Undelivered
from clawgate.bots.talk import Key

logger = logging.getLogger(__name__)

MAX_THREADS = 4
MAX_WAITING = 100
MAX_WAITING_OF_ONE = 20
"""A chat has one thread and so many places: one that is flooded, or has used up its messages, holds up no other."""
SILENT_S = 60.0
"""The log names sentences that were dropped once in so many seconds."""


class _Sentence(NamedTuple):
    """A sentence that answers a message in a chat."""

    chat: str
    reply: Reply
    text: str


class Sentences:
    """Delivers sentences, those of one chat one by one; too many are dropped, so that a flood costs no threads.

    Threads: any; the lock guards what waits. No thread is left once nothing waits.
    """

    def __init__(self, on_idle: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        """on_idle: called with the end of each thread; `is_idle` may be true then."""
        self._on_idle = on_idle
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[_Sentence] = []
        self._served: set[str] = set()
        self._threads = 0
        self._dropped = 0
        self._logged_at: float | None = None

    @property
    def is_idle(self) -> bool:
        """True while nothing waits, and nothing is on its way."""
        return not self._threads

    def say(self, chat: str, reply: Reply, text: str) -> None:
        """Send a sentence in answer to a message in a chat; returns at once."""
        with self._lock:
            of_one = sum(each.chat == chat for each in self._waiting)
            if len(self._waiting) >= MAX_WAITING or of_one >= MAX_WAITING_OF_ONE:
                self._drop()
                return
            self._waiting.append(_Sentence(chat, reply, text))
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
            while (sentence := self._next()) is not None:
                try:
                    deliver(sentence.reply, Snapshot(sentence.text, is_over=True))
                finally:
                    with self._lock:
                        self._served.discard(sentence.chat)
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise
        finally:
            self._on_idle()

    def _next(self) -> _Sentence | None:
        """Take what waits, unless its chat has a thread, which takes it then.

        A thread that finds nothing counts no more, so that the next sentence has one.
        """
        with self._lock:
            for number, sentence in enumerate(self._waiting):
                if sentence.chat not in self._served:
                    self._served.add(sentence.chat)
                    return self._waiting.pop(number)
            self._threads -= 1
            return None


def deliver(reply: Reply, snapshot: Snapshot, whose: Key | None = None) -> None:
    """Deliver the whole of an answer; where that is not possible, the log says so, and whose it was."""
    try:
        reply.finish(snapshot)
    except Undelivered as error:
        what = f"an answer of {len(snapshot.text)} characters" if whose else "a sentence"
        logger.error("%s was not delivered: %s", f"{what} to {whose}" if whose else what, error)
