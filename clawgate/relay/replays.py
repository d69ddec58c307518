"""The logs of each session's last run, kept after its end for readers that come late.

A log is kept as long as its session is, within bounds of its own: as many as there may be sessions, and together no
more memory than the sessions' texts may take. Those of forgotten sessions go first, then the least recently ended.
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
        with self._lock:
            self._drop(log.started.session_id)
            self._logs[log.started.session_id] = kept
            self._sessions[log.started.run_id] = log.started.session_id
            self._bytes += kept.memory_bytes
        self._drop_forgotten()
        with self._lock:
            while self._are_too_many():
                self._drop(next(iter(self._logs)))

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

    def _are_too_many(self) -> bool:
        most, each_bytes = self._keeping
        return len(self._logs) > 1 and (len(self._logs) > most or self._bytes > most * each_bytes)

    def _drop_forgotten(self) -> None:
        """Look at the two oldest sessions, since each end adds one log, and at more while there are too many."""
        with self._lock:
            logs = list(self._logs.items())
        for looked_at, (session_id, kept) in enumerate(logs):
            if looked_at >= 2 and not self._are_too_many():
                break
            if not self._is_known(session_id):
                with self._lock:
                    if self._logs.get(session_id) is kept:  # and not that of a new session under the same id
                        self._drop(session_id)


class _Kept(NamedTuple):
    log: Log
    memory_bytes: int
