"""The roster: the runs in flight, and their slots.

A slot stands for one of the answers that may be in flight at once. Admission takes it before the run is made, so a slot
without a run is an admission under way. It is given back a moment before the run's reader gets the end event.
"""

from __future__ import annotations

import threading

from clawgate.errors import Busy, ShuttingDown
from clawgate.relay.run import Run


class Roster:
    """Keeps the runs in flight and counts their slots.

    Threads: `_lock` guards everything here and is held for memory only; `wait_until_empty` lets go of it.
    """

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._lock = threading.Lock()
        self._is_empty = threading.Condition(self._lock)
        self._by_session: dict[str, Run] = {}
        self._by_id: dict[str, Run] = {}
        self._slots: set[str] = set()  # ids of runs
        self._is_refusing = False
        self._is_over = False

    @property
    def streams(self) -> int:
        """Return how many answers are in flight."""
        return len(self._slots)

    @property
    def is_refusing(self) -> bool:
        """True once no more runs are admitted."""
        return self._is_refusing

    def of_session(self, session_id: str) -> Run | None:
        """Return a session's run; None where it has none."""
        return self._by_session.get(session_id)

    def of_id(self, run_id: str) -> Run | None:
        """Return the run with this id; None where it is not in flight."""
        return self._by_id.get(run_id)

    def has_slot(self, run_id: str) -> bool:
        """True from the run's admission until its reader is about to get the end event."""
        return run_id in self._slots

    def take_slot(self, run_id: str, old: Run | None) -> None:
        """Take a slot for a run that is to be made: that of the run that it supersedes, or a free one.

        Errors: ShuttingDown, Busy.
        """
        with self._lock:
            self.check_admits()
            if old is not None and old.run_id in self._slots:
                self._slots.remove(old.run_id)
            elif len(self._slots) >= self._max_streams:
                raise Busy(f"all {self._max_streams} streams are taken; try again in a moment")
            self._slots.add(run_id)

    def check_admits(self) -> None:
        """Check that runs are still admitted.

        Errors: ShuttingDown.
        """
        if self._is_refusing:
            raise ShuttingDown("the gateway is shutting down; try again in a moment")

    def give_slot_back(self, run_id: str) -> None:
        """Free the run's slot; again is harmless."""
        with self._lock:
            self._slots.discard(run_id)
            self._tell_if_empty()

    def add(self, run: Run) -> bool:
        """Add a run that has a slot; False where it comes too late and must end."""
        with self._lock:
            self._by_session[run.session_id] = self._by_id[run.run_id] = run
            return not self._is_over

    def remove(self, run: Run) -> None:
        """Forget a run and free its slot."""
        with self._lock:
            self._slots.discard(run.run_id)
            self._by_id.pop(run.run_id, None)
            if self._by_session.get(run.session_id) is run:
                del self._by_session[run.session_id]
            self._tell_if_empty()

    def refuse_more(self) -> None:
        """Admit no more runs."""
        with self._lock:
            self._is_refusing = True

    def wait_until_empty(self, patience_s: float) -> bool:
        """Wait until no run is left and no admission is under way; False where that takes longer."""
        with self._lock:
            return self._is_empty.wait_for(self._has_none, patience_s)

    def runs_to_end(self) -> list[Run]:
        """Return the runs that are left; any that is added from now on comes too late."""
        with self._lock:
            self._is_over = True
            return list(self._by_id.values())

    def _has_none(self) -> bool:
        return not self._by_id and not self._slots

    def _tell_if_empty(self) -> None:
        if self._has_none():
            self._is_empty.notify_all()
