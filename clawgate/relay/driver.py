"""The driver of a run: the reader that asked for the answer, or a thread of its own once that reader has left.

A run outlives its asker while somebody else reads it, and, where the request asked for that, for `detach_seconds` in
which somebody may come back. Then it ends as interrupted, and its partial text is kept.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from clawgate.relay.events import Event
from clawgate.relay.pump import Pump
from clawgate.relay.reader import Reader
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run


class Driver:
    """Drives one run.

    detach_s: the time for which the run goes on without any reader.
    forget: called once, when the run is over.
    Threads: the one that serves the request calls `events` and then `release`; from there on the run's own, if any.
    """

    def __init__(
        self,
        run: Run,
        pump: Pump,
        roster: Roster,
        detach_s: float,
        forget: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._pump = pump
        self._roster = roster
        self._detach_s = detach_s
        self._forget = forget
        self._clock = clock
        self._is_detached = False

    def events(self, heartbeat_s: float, client: socket.socket | None) -> Iterator[Event]:
        """Yield the run's events to the reader that asked for them; the thread that iterates drives the run."""
        free = partial(self._roster.give_slot_back, self._run.run_id)
        return Reader(self._run, self._pump, heartbeat_s, client, free, self._detach, clock=self._clock).events()

    def release(self) -> None:
        """Let go of the run, when the request is over: it ends here, or goes on without its reader."""
        if not self._is_detached and not self._detach():
            self._forget()

    def _detach(self) -> bool:
        """Go on without the reader on a thread of the run's own; False where nobody is to be waited for."""
        run = self._run
        if run.has_outcome:
            return False
        self._roster.leave(run.run_id)
        if not self._detach_s and not self._roster.has_readers(run.run_id):
            return False
        try:
            threading.Thread(target=self._drive, name="detached", daemon=True).start()
        except RuntimeError:  # the system gives no thread: the answer ends, and its text is kept
            return False
        self._is_detached = True
        return True

    def _drive(self) -> None:
        deserted_at: float | None = None
        try:
            while self._run.ended is None:
                if self._roster.has_readers(self._run.run_id):
                    deserted_at = None
                elif deserted_at is None:
                    deserted_at = self._clock()
                until = math.inf if deserted_at is None else deserted_at + self._detach_s
                if self._clock() >= until:
                    self._run.end("interrupted")
                    self._run.close()
                else:
                    self._pump.step(until)
        finally:
            self._forget()
