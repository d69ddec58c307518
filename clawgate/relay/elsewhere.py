"""A run of another process, as a reader here follows it: by what its process writes down (peers.py).

The reader's own thread waits, as it does for a run of this process. It asks the run's process from time to time to
write the run down as it grows.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from clawgate.errors import ClawgateError, SessionStoreUnavailable
from clawgate.relay.events import Ended, Event
from clawgate.relay.log import Log
from clawgate.relay.mirror import WANTED_S
from clawgate.relay.peers import Peers
from clawgate.relay.stats import NO_STATS, Stats
from clawgate.relay.wait import Waiter, WakeEvent

STEP_S = 0.2
"""The longest wait for news: between two the client's connection is looked at."""
ASK_EVERY_S = WANTED_S / 3
AHEAD_S = 3.0
"""The words that a reader has from the run's own process, and that are not written down yet, come within a second."""


class RunElsewhere:
    """A run that another process drives: what `Reader` reads, and the steps that it takes.

    log: what is written down so far. name: that under which the run's process knows this reader already.
    is_over: tells whether this process ends; then the client is left, and comes back to another one.
    Errors: OSError where the process has no fd left.
    Threads: the reader's.
    """

    def __init__(
        self,
        log: Log,
        name: str,
        peers: Peers,
        is_over: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session_id = log.started.session_id
        self.run_id = log.started.run_id
        self.log = log
        self._peers = peers
        self._is_over = is_over
        self._clock = clock
        self._ask_at = clock() + ASK_EVERY_S
        self._ahead_until = clock() + AHEAD_S
        self._has_gap = False
        self._name = name
        self._wake_event = WakeEvent()
        self._waiter = Waiter(self._wake_event)

    def after(self, number: int) -> Sequence[Event]:
        """Return the events behind this number, or a `Reset` where that is no place in the log.

        A reader that comes from the run's own process may have more than is written down; that is on its way. A place
        that has not come after `AHEAD_S` was never given. The end's own number is no place: a process that has died may
        have given it to a word that it has not written down.
        """
        if self.log.is_ended:
            return self.log.after(number if number < self.log.last else self.log.last + 1)
        is_ahead = number > self.log.last and self._clock() < self._ahead_until
        return () if is_ahead or number == self.log.last else self.log.after(number)

    def end(self, done_reason: str, error: ClawgateError | None = None, stats: Stats = NO_STATS) -> bool:  # noqa: ARG002
        """Leave the run as it is: a reader that leaves ends no run of another process."""
        return False

    def close(self) -> None:
        """Leave the run's connection as it is."""

    def watch_client(self, client: socket.socket | None) -> None:
        """Watch from now on whether this client hangs up; None for no client."""
        self._waiter.watch_client(client)

    def step(self, until: float) -> bool:
        """Wait for more of the log; return whether the client has hung up, or this process ends.

        Units: until is the moment, on the clock, at which the wait ends.
        """
        wait_s = max(0.0, min(until - self._clock(), STEP_S))
        self.log.make_room()  # its reader has had all of it
        try:
            self._ask()
            if not self.log.is_ended:
                self._has_gap = not self._peers.more(self.run_id, self.log, wait_s)
        except SessionStoreUnavailable:  # the run goes on, and may be read again once the store is back
            return self._waiter.wait(wait_s, for_upstream=False) or self._is_over()
        return self._waiter.wait(0, for_upstream=False) or self._is_over()

    def release(self) -> None:
        """Wait no more."""
        self._wake_event.release()
        if not self.log.is_ended:
            self._peers.leave(self.run_id, self._name)

    def _ask(self) -> None:
        if self._has_gap or self._clock() >= self._ask_at:
            self._ask_at = self._clock() + ASK_EVERY_S
            is_known = self._peers.ask(self.run_id, self._name, is_anew=self._has_gap)
            if not is_known:
                self._read_rest()

    def _read_rest(self) -> None:
        """Read what is written down of a run that its process does not know any more; all of it has an end."""
        last = self.log.last
        self._peers.more(self.run_id, self.log, 0)
        if self.log.is_ended:
            return
        if self.log.last > last:  # there may be more than is read at a time
            self._ask_at = self._clock()
        else:
            self.log.append(Ended(self.session_id, self.run_id, "interrupted"))
