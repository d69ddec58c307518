"""The roster: the runs in flight, their readers, and their slots.

A slot stands for one of the answers that may be in flight at once. A run has one, and one more for each reader beyond
the first, since each reader takes a thread. So a run whose reader has left keeps the slot for the next one. Admission
takes the slot before the run is made, so a slot without a run is an admission under way. All of a run's slots are given
back a moment before a reader gets the end event.
"""

from __future__ import annotations

import threading

from clawgate.errors import Busy, ShuttingDown
from clawgate.relay.run import Run
from clawgate.relay.slots import Slots


class Roster:
    """Keeps the runs in flight and counts their slots.

    Threads: `_lock` guards everything here and is held for memory only; `wait_until_empty` lets go of it.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lock = threading.Lock()
        self._is_empty = threading.Condition(self._lock)
        self._by_session: dict[str, Run] = {}
        self._by_id: dict[str, Run] = {}
        self._readers: dict[str, int] = {}  # of each run that has a slot, by the run's id
        self._is_refusing = False
        self._is_over = False

    @property
    def streams(self) -> int:
        """Return how many slots are taken: by the answers in flight, and by further readers of theirs."""
        return self._slots.taken

    @property
    def max_streams(self) -> int:
        """Return how many slots there are."""
        return self._slots.limit

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
        return run_id in self._readers

    def take_slot(self, run_id: str, old: Run | None, *, is_beyond: bool = False) -> None:
        """Take a slot for a run that is to be made: that of the run that it supersedes, or a free one.

        is_beyond: the run supersedes one of a process that counts the same slots, and which gives its own back.

        Errors: ShuttingDown, Busy.
        """
        with self._lock:
            self.check_admits()
            held = self._readers.pop(old.run_id, None) if old is not None else None
            if held is None:
                self._take(is_beyond=is_beyond)
            elif held > 1:
                self._slots.give_back(held - 1)
            self._readers[run_id] = 1

    def check_free(self, *, is_beyond: bool) -> None:
        """Check that a slot could be taken now.

        Errors: Busy.
        """
        with self._lock:
            if not is_beyond and self._slots.taken >= self._slots.limit:
                raise self._busy()

    def arrive_elsewhere(self, run_id: str) -> None:
        """Count a reader of another process's run.

        Errors: Busy.
        """
        with self._lock:
            self._take()
            self._readers[run_id] = self._readers.get(run_id, 0) + 1

    def leave_elsewhere(self, run_id: str) -> None:
        """Count a reader of another process's run no more."""
        with self._lock:
            self._slots.give_back()
            self._readers[run_id] -= 1
            if not self._readers[run_id]:
                del self._readers[run_id]
            self._tell_if_empty()

    def arrive(self, run_id: str) -> None:
        """Count another reader of a run; of one that needs no slot any more, do nothing.

        Errors: Busy.
        """
        with self._lock:
            readers = self._readers.get(run_id)
            if readers is None:
                return
            if readers:
                self._take()
            self._readers[run_id] = readers + 1

    def leave(self, run_id: str) -> None:
        """Count a reader of a run no more."""
        with self._lock:
            readers = self._readers.get(run_id)
            if readers:
                if readers > 1:
                    self._slots.give_back()
                self._readers[run_id] = readers - 1

    def has_readers(self, run_id: str) -> bool:
        """Tell whether anybody reads a run."""
        return bool(self._readers.get(run_id))

    def is_shared(self, run_id: str) -> bool:
        """Tell whether more than one reads a run."""
        return self._readers.get(run_id, 0) > 1

    def _take(self, *, is_beyond: bool = False) -> None:
        if not self._slots.take(is_beyond=is_beyond):
            raise self._busy()

    def _busy(self) -> Busy:
        return Busy(f"all {self._slots.limit} streams are taken; try again in a moment")

    def _free(self, run_id: str) -> None:
        readers = self._readers.pop(run_id, None)
        if readers is not None:
            self._slots.give_back(max(1, readers))

    def check_admits(self) -> None:
        """Check that runs are still admitted.

        Errors: ShuttingDown.
        """
        if self._is_refusing:
            raise ShuttingDown("the gateway is shutting down; try again in a moment")

    def give_slot_back(self, run_id: str) -> None:
        """Free all slots of a run; again is harmless."""
        with self._lock:
            self._free(run_id)
            self._tell_if_empty()

    def add(self, run: Run) -> bool:
        """Add a run that has a slot; False where it comes too late and must end."""
        with self._lock:
            self._by_session[run.session_id] = self._by_id[run.run_id] = run
            return not self._is_over

    def remove(self, run: Run) -> None:
        """Forget a run and free its slots."""
        with self._lock:
            self._free(run.run_id)
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
        return not self._by_id and not self._readers

    def _tell_if_empty(self) -> None:
        if self._has_none():
            self._is_empty.notify_all()
