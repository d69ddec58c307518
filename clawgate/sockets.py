"""The sockets of clients, as the server and the web share them: what one client can hold, and for how long.

The worker (server side) enters each request's socket here; the routes bound the reading of bodies and say which sockets
are answers in flight. Under another server than ours nobody enters anything, and only the reading of bodies is bounded.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clawgate.errors import BadRequest

SEND_TIMEOUT_S = 15
SEND_BUFFER_BYTES = 1 << 16
READ_S = 60.0
"""As long as nginx waits for a head, or for a piece of a body; 16 MiB in this time are 2.3 Mbit/s."""
TICK_S = 1.0


def bounded(client: socket.socket) -> socket.socket:
    """Bound what a reader that reads nothing can hold: a small kernel buffer, and a thread for 15 s.

    SO_SNDTIMEO rather than settimeout, which would cost a poll() before every write.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0))
    return client


class ReadDeadlines:
    """Shuts the reading side of each socket that is overdue: the read ends, an answer can still be written.

    A time-out of the socket would bound each recv(), and a head or a body that drips is made of many.

    Threads: `_lock` guards the moments and the flag. One thread looks after all sockets while there are any; it ends
    itself, so that nothing has to end it.
    """

    def __init__(self, limit_s: float = READ_S, tick_s: float = TICK_S) -> None:
        self.limit_s = limit_s
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._due: dict[socket.socket, float] = {}
        self._is_watched = False

    def __contains__(self, client: socket.socket) -> bool:
        return client in self._due

    def begin(self, client: socket.socket) -> None:
        """Count from now; `end` it before the socket is closed, and its fd somebody else's."""
        with self._lock:
            self._due[client] = time.monotonic() + self.limit_s
            if not self._is_watched:
                try:
                    threading.Thread(target=self._watch, name="read-deadlines", daemon=True).start()
                    self._is_watched = True
                except RuntimeError:
                    pass  # no thread is to be had; the next socket tries again

    def end(self, client: socket.socket) -> bool:
        """Stop counting; False where the socket was overdue, or not counted."""
        with self._lock:
            return self._due.pop(client, None) is not None

    @contextmanager
    def over(self, client: socket.socket | None) -> Iterator[None]:
        """Bound the reading of a body inside; without a socket (another server than gunicorn) nothing is bounded.

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
                raise BadRequest(f"body: expected all of it within {self.limit_s:g} s")

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
                    _shut_down(client, socket.SHUT_RD)


class Clients:
    """The clients whose requests hold a thread now, oldest first.

    A thread waits for its client while a head or a body comes, while an answer is read, and while the other side is to
    close. `shed` ends such waits where threads are needed; an answer in flight it leaves alone.

    Threads: `_lock` guards the dict and the set.
    """

    def __init__(self, reads: ReadDeadlines | None = None) -> None:
        self.reads = reads or ReadDeadlines()
        self._lock = threading.Lock()
        self._in_flight: dict[socket.socket, Callable[[], bool]] = {}
        self._lingering: set[socket.socket] = set()

    def __len__(self) -> int:
        return len(self._in_flight)

    def enter(self, client: socket.socket) -> None:
        """Note that a request of this client has a thread now."""
        with self._lock:
            self._in_flight[client] = _never

    def protect(self, client: socket.socket, is_in_flight: Callable[[], bool]) -> None:
        """Note that this client is an answer in flight, and is left alone for as long as that is true."""
        with self._lock:
            if client in self._in_flight:
                self._in_flight[client] = is_in_flight

    def linger(self, client: socket.socket) -> None:
        """Note that this client has its answer, and its thread waits for what it may still send, or for its close."""
        with self._lock:
            self._lingering.add(client)

    def leave(self, client: socket.socket) -> None:
        """Note that the thread is free again."""
        with self._lock:
            self._in_flight.pop(client, None)
            self._lingering.discard(client)

    def shed(self, count: int) -> int:
        """End the wait of at most so many threads for their client, oldest first; return how many there were.

        A body that does not come ends where it is, so that its client is still answered; an answer that is not read is
        given up.
        """
        with self._lock:
            held_up = [
                (client, how)
                for client, is_in_flight in self._in_flight.items()
                if not is_in_flight() and (how := self._awaited(client)) is not None
            ]
            for client, how in held_up[:count]:
                _shut_down(client, how)
        return min(count, len(held_up))

    def _awaited(self, client: socket.socket) -> int | None:
        """Give the direction in which a thread waits for this client, as `shutdown` takes it; None: it does not."""
        is_read_from = client in self.reads or client in self._lingering
        poll = select.poll()
        try:
            poll.register(client, select.POLLIN if is_read_from else select.POLLOUT)
            if poll.poll(0):
                return None
        except (OSError, ValueError):  # its thread has closed it meanwhile
            return None
        return socket.SHUT_RD if is_read_from else socket.SHUT_RDWR


def _never() -> bool:
    return False


def _shut_down(client: socket.socket, how: int) -> None:
    try:
        client.shutdown(how)
    except OSError:
        pass  # it has left meanwhile
