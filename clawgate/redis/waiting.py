"""The answers that wait until Redis takes them, in the memory of this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import NamedTuple

from clawgate.sessions import Message

MOST = 10_000
log = logging.getLogger(__name__)


class Unsettled(NamedTuple):
    """The answer of a run that has ended, and has yet to be settled."""

    session_id: str
    run_id: str
    answer: Message


class Waiting:
    """Keeps answers by their run, in the order in which they came.

    Each had its place in memory while its run was in flight, and no run begins while Redis is away; so there are as
    many as there were runs. A Redis that takes runs but no answers is no reason to keep more than `MOST`.

    Threads: `_lock` guards the dict.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_run: dict[str, Unsettled] = {}

    def __len__(self) -> int:
        return len(self._by_run)

    def add(self, unsettled: Unsettled) -> None:
        """Keep an answer; beyond `MOST` the oldest is lost."""
        with self._lock:
            self._by_run[unsettled.run_id] = unsettled
            is_over = len(self._by_run) > MOST
            if is_over:
                del self._by_run[next(iter(self._by_run))]
        if is_over:
            log.error("an answer is lost: %d others wait for Redis to take them", MOST)

    def remove(self, unsettled: Unsettled) -> None:
        """Forget an answer."""
        with self._lock:
            self._by_run.pop(unsettled.run_id, None)

    def all(self) -> Sequence[Unsettled]:
        """Return every answer."""
        with self._lock:
            return list(self._by_run.values())

    def of_run(self, run_id: str) -> Unsettled | None:
        """Return the answer of one run."""
        return self._by_run.get(run_id)

    def of_session(self, session_id: str) -> Sequence[Unsettled]:
        """Return the answers of one session."""
        return [each for each in self.all() if each.session_id == session_id] if self._by_run else ()
