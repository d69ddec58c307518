"""A reader of a run: a place in the run's log, the heartbeats, and the client's connection.

The reader that asked for the answer also drives the run: it takes the pump's steps while it waits for the log to grow,
so that no second thread and no queue stand between Ollama and the client.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

from clawgate.relay.events import PING, Ended, Event
from clawgate.relay.pump import Pump
from clawgate.relay.run import Run


class Reader:
    """Follows a run from its start, and drives it.

    client: the connection that the events are written to, where there is one to watch.
    before_end: called before the end is yielded.
    Threads: the one that iterates `events`.
    """

    def __init__(
        self,
        run: Run,
        pump: Pump,
        heartbeat_s: float,
        client: socket.socket | None = None,
        before_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._pump = pump
        self._heartbeat_s = heartbeat_s
        self._client = client
        self._before_end = before_end
        self._clock = clock
        self._ping_at = clock() + heartbeat_s

    def events(self) -> Iterator[Event]:
        """Yield the run's log as it grows, and a ping whenever one is due, up to and including the end.

        A client that hangs up ends the run. A generator that is closed before the end (a write failed, or took too
        long) hangs up itself: gunicorn would wait 2 s for such a client to close, on the loop that serves everybody,
        and ten of them held all others up for 20 s.
        """
        log = self._run.log
        position = 0
        self._pump.watch_client(self._client)
        try:
            while True:
                while position < len(log):
                    event = log[position]
                    position += 1
                    if type(event) is Ended:
                        self._before_end()
                        yield event
                        return
                    yield event
                if self._clock() >= self._ping_at:
                    self._ping_at = max(self._ping_at + self._heartbeat_s, self._clock())
                    yield PING
                if self._pump.step(until=self._ping_at):
                    self._run.end("interrupted")
                    self._run.close()
        except GeneratorExit:
            self._hang_up()
            raise
        finally:
            self._pump.watch_client(None)

    def _hang_up(self) -> None:
        """Close the client's connection for both directions: nothing can be written to it any more."""
        if self._client is not None:
            try:
                self._client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client has gone
