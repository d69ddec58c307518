"""The logs of each session's last run, kept after its end for readers that come late.

A log is kept as long as its session is, within bounds of its own: as many as there may be sessions, and together no
more memory than the sessions' texts may take. The least recently ended goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from clawgate.relay.log import Log


class Keeping(NamedTuple):
    """The bounds: how many logs are kept, and the memory of the events of each."""

    max_logs: int = 100
    max_log_bytes: float = 1 << 20


class Replays:
    """Keeps the logs of runs that have ended, one of each session.

    is_known: tells whether a session is still there, and does not count that as a use of it.
    Threads: `_lock` guards the dicts and the sum, and is held for memory only.
    """

    def __init__(self, keeping: Keeping, is_known: Callable[[str], bool]) -> None:
        self._keeping = keeping
        self._is_known = is_known
        self._lock = threading.Lock()
        self._logs: OrderedDict[str, _Kept] = OrderedDict()  # by session, the one that ended first first
        self._sessions: dict[str, str] = {}  # by run
        self._bytes = 0

    def reconfigure(self, keeping: Keeping) -> None:
        """Put other bounds in force, from the next end on."""
        self._keeping = keeping

    @property
    def max_log_bytes(self) -> float:
        """The memory that the events of one run may take."""
        return self._keeping.max_log_bytes

    def keep(self, log: Log) -> None:
        """Keep the log of a run that has ended, in place of its session's earlier one."""
        kept = _Kept(log, log.memory_bytes())
        bounds = self._keeping
        with self._lock:
            self._drop(log.started.session_id)
            self._logs[log.started.session_id] = kept
            self._sessions[log.started.run_id] = log.started.session_id
            self._bytes += kept.memory_bytes
            while len(self._logs) > 1 and (
                len(self._logs) > bounds.max_logs or self._bytes > bounds.max_logs * bounds.max_log_bytes
            ):
                self._drop(next(iter(self._logs)))
        self._drop_forgotten()

    def of_session(self, session_id: str) -> Log | None:
        """Return the log of a session's last run; None where it is not kept (any more)."""
        with self._lock:
            kept = self._logs.get(session_id)
            return None if kept is None else kept.log

    def of_run(self, run_id: str) -> Log | None:
        """Return a run's log; None where it is not kept (any more)."""
        with self._lock:
            session_id = self._sessions.get(run_id)
            return None if session_id is None else self._logs[session_id].log

    def drop(self, session_id: str) -> None:
        """Drop a session's log, where there is one."""
        with self._lock:
            self._drop(session_id)

    def _drop(self, session_id: str) -> None:
        kept = self._logs.pop(session_id, None)
        if kept is not None:
            self._bytes -= kept.memory_bytes
            del self._sessions[kept.log.started.run_id]

    def _drop_forgotten(self) -> None:
        """Look at the two oldest sessions: each end adds one log, so that those of forgotten sessions go."""
        with self._lock:
            oldest = [session_id for session_id, _ in zip(self._logs, range(2), strict=False)]
        for session_id in oldest:
            if not self._is_known(session_id):
                self.drop(session_id)


class _Kept(NamedTuple):
    log: Log
    memory_bytes: int
