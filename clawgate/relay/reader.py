"""A reader of a run: a place in the run's log, the heartbeats, and the client's connection.

The reader that asked for the answer also drives the run: it takes the pump's steps while it waits for the log to grow,
so that no second thread and no queue stand between Ollama and the client. Another reader watches the log (`Watch`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from clawgate.relay.elsewhere import RunElsewhere
from clawgate.relay.events import PING, Ended, Event, Reset
from clawgate.relay.run import Run
from clawgate.relay.wait import Waiter, WakeEvent


class Steps(Protocol):
    """The doing of a reader until there is more to read: one step at a time, each of which waits at most once."""

    def watch_client(self, client: socket.socket | None) -> None:
        """Watch from now on whether this client hangs up; None for no client."""

    def step(self, until: float) -> bool:
        """Take a step; return whether the watched client has hung up."""


class Watch:
    """Waits for the log of a run that another thread drives. It has an fd of its own, which `release` gives back.

    Errors: OSError where the process has no fd left.
    Threads: the reader's.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._wake_event = WakeEvent()
        self._waiter = Waiter(self._wake_event)
        run.follow(self._wake_event)

    def watch_client(self, client: socket.socket | None) -> None:
        """Watch from now on whether this client hangs up; None for no client."""
        self._waiter.watch_client(client)

    def step(self, until: float) -> bool:
        """Wait until the log has grown; return whether the watched client has hung up.

        Units: until is the moment, on the clock, at which the wait ends.
        """
        return self._waiter.wait(until - self._clock(), for_upstream=False)

    def release(self) -> None:
        """Wait no more; again is harmless."""
        self._run.unfollow(self._wake_event)
        self._wake_event.release()


class Reader:
    """Follows a run from its place in the log.

    steps: the pump, where the reader drives the run; a `Watch` where another thread does.
    client: the connection that the events are written to, where there is one to watch.
    before_end: called before the end is yielded.
    leave: called when the client has hung up; returns whether the run goes on without this reader.
    place: the number of the last event that the client has.
    Threads: the one that iterates `events`.
    """

    def __init__(
        self,
        run: Run | RunElsewhere,
        steps: Steps,
        heartbeat_s: float,
        client: socket.socket | None = None,
        before_end: Callable[[], None] = lambda: None,
        leave: Callable[[], bool] = lambda: False,
        place: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._steps = steps
        self._heartbeat_s = heartbeat_s
        self._client = client
        self._before_end = before_end
        self._leave = leave
        self._place = place
        self._clock = clock
        self._ping_at = clock() + heartbeat_s

    def events(self) -> Iterator[Event]:
        """Yield the run's log as it grows, and a ping whenever one is due, up to and including the end.

        A client that hangs up ends the run, or leaves it. A generator that is closed before the end (a write failed, or
        took too long) hangs up itself: gunicorn would wait 2 s for such a client to close, on the loop that serves
        everybody, and ten of them held all others up for 20 s.
        """
        run, place = self._run, self._place
        self._steps.watch_client(self._client)
        try:
            while True:
                for event in run.after(place):
                    place = event.number if type(event) is Reset else place + 1
                    if type(event) is Ended:
                        self._before_end()
                        yield event
                        return
                    yield event
                if self._clock() >= self._ping_at:
                    self._ping_at = max(self._ping_at + self._heartbeat_s, self._clock())
                    yield PING
                if self._steps.step(until=self._ping_at):
                    self._steps.watch_client(None)
                    if self._leave():
                        self._hang_up()
                        yield Ended(run.session_id, run.run_id, "interrupted")  # to nobody: a whole answer has an end
                        return
                    run.end("interrupted")
                    run.close()
        except GeneratorExit:
            self._hang_up()
            raise
        finally:
            self._steps.watch_client(None)

    def _hang_up(self) -> None:
        """Close the client's connection for both directions: nothing can be written to it any more."""
        if self._client is not None:
            try:
                self._client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client has gone
