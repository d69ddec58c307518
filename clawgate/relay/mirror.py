"""The mirror of this process's runs, for the other processes that serve the same sessions (peers.py).

It says what each run has to have written down: of a run with a reader elsewhere each event at once, of the others what
has come since the last time it was asked. A run stays here until its end is written down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

from clawgate.relay.events import Ended, Event, Reset
from clawgate.relay.locks import SessionLocks
from clawgate.relay.log import size_of
from clawgate.relay.peers import Batch, Fate, Outcome
from clawgate.relay.run import Run

WANTED_S = 15.0
"""A run is written down at once for so long after a reader elsewhere has asked for that; readers ask again in time."""
SETTLING_S = 2.0
"""The longest wait for another thread that is ending a run."""


class Mirror:
    """Tells the others of the own runs; the `Teller` that `Peers` calls.

    Threads: any. `_lock` guards the dicts and the readers, and is held for memory only; a run's lock may be taken
    under it.
    """

    def __init__(self, locks: SessionLocks, clock: Callable[[], float] = time.monotonic) -> None:
        self._locks = locks
        self._clock = clock
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._mirrored: dict[str, _Mirrored] = {}
        self._wanted: dict[str, _Mirrored] = {}  # those with a reader elsewhere

    def add(self, run: Run) -> None:
        """Begin to tell of a run."""
        with self._lock:
            self._mirrored[run.run_id] = _Mirrored(run)

    def of_id(self, run_id: str) -> Run | None:
        """Return a run that is in flight, or whose end is not written down yet."""
        mirrored = self._mirrored.get(run_id)
        return None if mirrored is None else mirrored.run

    def knows(self, run_id: str) -> bool:
        """Tell whether a run of this process is in flight, or has yet to be written down."""
        return run_id in self._mirrored

    def end(self, run_id: str, session_id: str | None, done_reason: str) -> Outcome | None:
        """End a run of this process; None where it has ended already, or is not known.

        session_id: its session, where that is known: the run may just be being admitted.
        """
        with self._locks.of(session_id) if session_id is not None else nullcontext():
            run = self.of_id(run_id)
        if run is None:
            return None
        if not run.end(done_reason):
            run.wake_event.wait(SETTLING_S)  # another thread has ended it, and may still be settling its text
            return None
        run.close()
        return Outcome(run.session_id if run.is_kept else None, run.text)

    def want(self, run_id: str, reader: str, is_anew: bool) -> bool:
        """Write a run down as it grows, for a reader elsewhere; False where it is not known (any more)."""
        with self._lock:
            mirrored = self._mirrored.get(run_id)
            if mirrored is None:
                return False
            mirrored.is_anew = mirrored.is_anew or is_anew
            if not mirrored.readers:
                mirrored.run.follow(self)
                self._wanted[run_id] = mirrored
            mirrored.readers[reader] = self._clock() + WANTED_S
        self.wake()
        return True

    def leave(self, run_id: str, reader: str) -> None:
        """Count a reader elsewhere no more."""
        with self._lock:
            mirrored = self._wanted.get(run_id)
            if mirrored is None or mirrored.readers.pop(reader, None) is None:
                return
            if not mirrored.readers:
                self._want_no_more(mirrored)
        mirrored.run.wake_event.wake()  # whoever drives it looks whether anybody reads it

    def has_readers(self, run_id: str) -> bool:
        """Tell whether anybody elsewhere reads a run."""
        mirrored = self._mirrored.get(run_id)
        return mirrored is not None and bool(mirrored.readers)

    def wake(self) -> None:
        """Note that a run that is wanted has said something."""
        self._has_news.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until a run with a reader elsewhere has said something."""
        self._has_news.wait(timeout_s)
        self._has_news.clear()

    def batches(self, is_everything: bool) -> Sequence[Batch]:
        """Return what has yet to be written down: of the runs with a reader elsewhere, or of all."""
        with self._lock:
            mirrored = list((self._mirrored if is_everything else self._wanted).values())
        return [batch for each in mirrored for batch in self._of(each, is_everything)]

    def note(self, batches: Iterable[tuple[Batch, Fate]]) -> None:
        """Take note of what has been written; end the runs whose session is another's by now."""
        for batch, fate in batches:
            mirrored = self._mirrored.get(batch.run_id)
            if mirrored is None:
                continue
            mirrored.note(batch, fate)
            if mirrored.is_done:
                self._forget(mirrored)
            elif fate.owner is not True and not mirrored.run.has_outcome:
                self.end(batch.run_id, batch.session_id, "superseded" if fate.owner else "interrupted")

    def _of(self, mirrored: _Mirrored, is_everything: bool) -> Iterable[Batch]:
        if mirrored.readers:
            self._drop_silent(mirrored)
        is_wanted = bool(mirrored.readers)
        if not is_wanted and not mirrored.run.is_kept:
            if mirrored.run.ended is not None:
                self._forget(mirrored)
        elif is_wanted or is_everything:
            yield from mirrored.batches(is_wanted, is_everything)

    def _drop_silent(self, mirrored: _Mirrored) -> None:
        """Forget readers that have not asked again."""
        now = self._clock()
        silent = [reader for reader, until in list(mirrored.readers.items()) if until <= now]
        for reader in silent:
            self.leave(mirrored.run.run_id, reader)

    def _forget(self, mirrored: _Mirrored) -> None:
        with self._lock:
            self._mirrored.pop(mirrored.run.run_id, None)
            self._want_no_more(mirrored)

    def _want_no_more(self, mirrored: _Mirrored) -> None:
        self._wanted.pop(mirrored.run.run_id, None)
        mirrored.run.unfollow(self)


class _Mirrored:
    """One run: how far it is written down, and the readers that it has elsewhere, each until it has to ask again.

    The written events are bounded as the log is: where they have grown to twice that, or to twice the answer, they are
    written anew, with one event for all that has fallen out of the log.
    """

    __slots__ = ("_bound", "_bytes", "is_anew", "is_done", "readers", "run", "written")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.written = 0
        self.is_anew = False
        self.is_done = False
        self.readers: dict[str, float] = {}
        self._bytes = 0
        self._bound = run.log.max_bytes

    def batches(self, is_wanted: bool, is_everything: bool) -> Iterable[Batch]:
        """Yield what is new; where everything is asked for, also that nothing is: so its session is not forgotten."""
        is_anew = self.is_anew
        events: Sequence[Event] = self.run.after(0 if is_anew else self.written)
        if not events and not is_everything:
            return
        first = 1 if is_anew else self.written + 1
        if events and isinstance(events[0], Reset):  # some have fallen out of the log before they were written
            is_anew, first = True, events[0].number
        session_id = self.run.session_id if self.run.is_kept else None
        yield Batch(self.run.run_id, session_id, first, first + len(events) - 1, events, is_anew, is_wanted)

    def note(self, batch: Batch, fate: Fate) -> None:
        """Take note of what has been written."""
        if not fate.is_written:
            self.is_anew = True
            return
        self.is_anew = self.is_anew and not batch.is_anew
        self.written = batch.last
        grown_bytes = sum(map(size_of, batch.events))
        self._bytes = grown_bytes if batch.is_anew else self._bytes + grown_bytes
        if batch.is_anew:
            self._bound = max(self.run.log.max_bytes, grown_bytes)
        if self.run.log.has_fallen and self._bytes > 2 * self._bound:
            self.is_anew = True
        self.is_done = bool(batch.events) and isinstance(batch.events[-1], Ended)
