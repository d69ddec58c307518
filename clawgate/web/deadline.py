"""How long what a client sends may take to come, so that one that sends a byte now and then holds no thread for ever.

Used by web/bodies.py for bodies and by worker.py for heads. A time-out of the socket would bound each recv(), and what
such a client sends is made of many.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clawgate.errors import BadRequest

LIMIT_S = 60.0
"""As long as nginx waits for a head, or for a piece of a body; 16 MiB in this time are 2.3 Mbit/s."""
TICK_S = 1.0


class Deadline:
    """Shuts the reading side of each socket that is overdue: the read ends, an answer can still be written.

    Threads: `_lock` guards the moments and the flag. One thread looks after all sockets while there are any; it ends
    itself, so that nothing has to end it.
    """

    def __init__(self, limit_s: float = LIMIT_S, tick_s: float = TICK_S) -> None:
        self._limit_s = limit_s
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._due: dict[socket.socket, float] = {}
        self._is_watched = False

    def begin(self, client: socket.socket) -> None:
        """Count from now; `end` it before the socket is closed, and its fd somebody else's."""
        with self._lock:
            self._due[client] = time.monotonic() + self._limit_s
            if not self._is_watched:
                try:
                    threading.Thread(target=self._watch, name="deadline", daemon=True).start()
                    self._is_watched = True
                except RuntimeError:
                    pass  # no thread is to be had; the next socket tries again

    def end(self, client: socket.socket) -> bool:
        """Stop counting; False where the socket was overdue, or not counted."""
        with self._lock:
            return self._due.pop(client, None) is not None

    def expire(self) -> None:
        """Let nobody wait any longer."""
        with self._lock:
            for client in self._due:
                self._due[client] = 0.0

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


class BodyDeadline(Deadline):
    """Bounds the reading of a request's body."""

    @contextmanager
    def over(self, client: socket.socket | None) -> Iterator[None]:
        """Bound what is read inside; without a socket (another server than gunicorn) nothing is.

        Errors: BadRequest in place of what the read came to.
        """
        if client is None:
            yield
            return
        self.begin(client)
        try:
            yield
        finally:
            if not self.end(client):
                raise BadRequest(f"body: expected all of it within {self._limit_s:g} s")


def _stop_reading(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RD)
    except OSError:
        pass  # it has left meanwhile
