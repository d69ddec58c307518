"""How long a request's body may take to come, so that a client that sends a byte now and then holds no thread for ever.

Used by web/bodies.py. A time-out of the socket would bound each recv(), and the body of such a client is made of many.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clawgate.errors import BadRequest

BODY_S = 60.0
"""As long as nginx waits for a piece of one; 16 MiB in this time are 2.3 Mbit/s."""
TICK_S = 1.0


class BodyDeadline:
    """Shuts the reading side of each socket whose body is overdue: the read ends, an answer can still be written.

    Threads: `_lock` guards the moments and the flag. One thread looks after all bodies while there are any; it ends
    itself, so that nothing has to end it.
    """

    def __init__(self, limit_s: float = BODY_S, tick_s: float = TICK_S) -> None:
        self._limit_s = limit_s
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._due: dict[socket.socket, float] = {}
        self._is_watched = False

    @contextmanager
    def over(self, client: socket.socket | None) -> Iterator[None]:
        """Bound what is read inside; without a socket (another server than gunicorn) nothing is.

        Errors: BadRequest in place of what the read came to.
        """
        if client is None:
            yield
            return
        self._begin(client)
        try:
            yield
        finally:
            with self._lock:
                is_overdue = self._due.pop(client, None) is None
            if is_overdue:
                raise BadRequest(f"body: expected all of it within {self._limit_s:g} s")

    def _begin(self, client: socket.socket) -> None:
        with self._lock:
            self._due[client] = time.monotonic() + self._limit_s
            if not self._is_watched:
                self._is_watched = True
                threading.Thread(target=self._watch, name="body-deadline", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._tick_s)
            with self._lock:  # while a socket is among them its reader has not closed it, and nobody else has its fd
                if not self._due:
                    self._is_watched = False
                    return
                now = time.monotonic()
                for client in [client for client, due in self._due.items() if due <= now]:
                    del self._due[client]
                    _stop_reading(client)


def _stop_reading(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # it has left meanwhile
