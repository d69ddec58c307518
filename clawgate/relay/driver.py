"""The driver of a run: the reader that asked for the answer, or a thread of the run's own.

As long as the reader that asked is the only one, it drives the run. A thread of the run's own does so once there is a
second reader, which must not wait for a first one whose network is gone; and once the reader that asked has left while
others read, or while the request wants the answer to wait for `detach_seconds`, in which somebody may come back. Then
the run ends as interrupted, and its partial text is kept.
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
from clawgate.relay.reader import Reader, Watch
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run


class Driver:
    """Drives one run. To the reader that asked it is what that reader does until there is more to read (`Steps`).

    detach_s: the time for which the run goes on without any reader.
    forget: called once, when the run is over. is_read_elsewhere: tells whether another process has a reader of it.
    Threads: the one that serves the request calls all but `share`, which those of other readers call. `_stepping` is
    held during each step of the pump by the asker, and `_sharing` for moments only. Once `_watch` is set, the asker
    steps the pump no more.
    """

    def __init__(
        self,
        run: Run,
        pump: Pump,
        roster: Roster,
        detach_s: float,
        forget: Callable[[], None],
        is_read_elsewhere: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._pump = pump
        self._roster = roster
        self._detach_s = detach_s
        self._forget = forget
        self._is_read_elsewhere = is_read_elsewhere
        self._clock = clock
        self._client: socket.socket | None = None
        self._stepping = threading.Lock()
        self._sharing = threading.Lock()
        self._watch: Watch | None = None  # the asker's, once the run has a thread of its own
        self._has_thread = False
        self._has_left = False

    def events(self, heartbeat_s: float, client: socket.socket | None) -> Iterator[Event]:
        """Yield the run's events to the reader that asked for them; the thread that iterates drives the run."""
        free = partial(self._roster.give_slot_back, self._run.run_id)
        if self._roster.is_shared(self._run.run_id):
            self.share()
        return Reader(self._run, self, heartbeat_s, client, free, self._leave, clock=self._clock).events()

    def watch_client(self, client: socket.socket | None) -> None:
        """Watch from now on whether the asker's client hangs up; None for no client."""
        with self._sharing:
            self._client = client
            if self._watch is not None:
                self._watch.watch_client(client)
            elif not self._has_thread:
                self._pump.watch_client(client)

    def step(self, until: float) -> bool:
        """Take a step of the pump's, or wait for the run's own thread; return whether the asker's client has hung up.

        Units: until is the moment, on the clock, at which a wait ends.
        """
        with self._stepping:
            watch = self._watch
            if watch is None:
                return self._pump.step(until)
        return watch.step(until)

    def share(self) -> None:
        """Go on with a thread of the run's own, because the asker is not the only reader any more; again is harmless.

        The asker goes on where the system has no thread or fd left.
        """
        with self._sharing:
            if self._has_thread or self._run.has_outcome:
                return
            try:
                watch = Watch(self._run, self._clock)
            except OSError:
                return
            watch.watch_client(self._client)
            if self._start():
                self._watch = watch
                self._run.wake_event.wake()  # the asker may be in a long step
            else:
                watch.release()

    def release(self) -> None:
        """Let go of the run, when the request is over: it ends here, or goes on without the asker."""
        if not self._has_left and not self._leave():
            self._forget()
        if self._watch is not None:
            self._watch.release()

    def _leave(self) -> bool:
        """Count the asker as a reader no more; return whether the run goes on, or is in other hands already."""
        run = self._run
        with self._sharing:
            if not self._has_thread and run.has_outcome:
                return False
            self._roster.leave(run.run_id)
            if self._has_thread:
                run.wake_event.wake()  # it looks whether anybody reads it
            elif (not self._detach_s and not self._has_readers()) or not self._start():
                return False
            self._has_left = True
            return True

    def _has_readers(self) -> bool:
        return self._roster.has_readers(self._run.run_id) or self._is_read_elsewhere()

    def _start(self) -> bool:
        """Start the run's own thread, which begins once `_sharing` is free; False where the system gives none."""
        try:
            threading.Thread(target=self._drive, name="answer", daemon=True).start()
        except RuntimeError:
            return False
        self._has_thread = True
        return True

    def _drive(self) -> None:
        with self._sharing, self._stepping:  # the asker has left, or takes no further step
            self._pump.watch_client(None)
        deserted_at: float | None = None
        try:
            while self._run.ended is None:
                if self._has_readers():
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
