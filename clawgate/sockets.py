"""The sockets of clients, shared by the server and the web: they bound what one client can hold, and for how long.

The worker enters each request's socket here. The routes bound the reading of bodies and say which sockets are answers
in flight. Under another server than ours no socket is entered, and only the reading of bodies is bounded.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clawgate.errors import BadRequest, Busy, ClawgateError

SEND_TIMEOUT_S = 15
SEND_BUFFER_BYTES = 1 << 16
READ_S = 60.0
"""nginx waits as long for a head, or for a piece of a body; 16 MiB in this time are 2.3 Mbit/s."""
TICK_S = 1.0
LAST_CHANCE_S = 1.0
"""The time that a client has left while the worker ends: to begin, to send the rest, to read."""


def bounded(client: socket.socket) -> socket.socket:
    """Bound what a client that reads nothing can hold: a small kernel buffer, and a thread for 15 s.

    SO_SNDTIMEO rather than settimeout, which would cost a poll() before every write.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0))
    return client


def unix_path(client: socket.socket | None) -> str | None:
    """Return the path of the Unix socket that a client came by; None for a client of the network, or none at all."""
    if client is None or client.family != socket.AF_UNIX:
        return None
    return os.fsdecode(client.getsockname())


class ReadDeadlines:
    """Shuts the reading side of each socket that is overdue: the read ends, an answer can still be written.

    A time-out of the socket would bound each recv(), and a head or a body that drips is made of many.

    Threads: `_lock` guards the moments and the flag. One thread watches all sockets while there are any, and then ends.
    """

    def __init__(self, limit_s: float = READ_S, tick_s: float = TICK_S) -> None:
        self.limit_s = limit_s
        self._tick_s = tick_s
        self._lock = threading.Lock()
        self._due: dict[socket.socket, float] = {}
        self._errors: dict[socket.socket, ClawgateError] = {}
        self._is_watched = False

    def begun_at(self, client: socket.socket) -> float | None:
        """Return when the count for this client began; None where there is none."""
        due = self._due.get(client)
        return None if due is None else due - self.limit_s

    def begin(self, client: socket.socket) -> None:
        """Count from now; `end` comes before the socket is closed, since its fd may be reused then."""
        with self._lock:
            self._due[client] = time.monotonic() + self.limit_s
            if not self._is_watched:
                try:
                    threading.Thread(target=self._watch, name="read-deadlines", daemon=True).start()
                    self._is_watched = True
                except RuntimeError:
                    pass  # the system gives no thread; the next socket tries again

    def cut(self, client: socket.socket) -> bool:
        """End the reading now, because its thread is needed; False where it is over."""
        with self._lock:
            return self._cut(
                client, Busy("body: expected all of it at once while threads are few; try again in a moment")
            )

    def _cut(self, client: socket.socket, error: ClawgateError) -> bool:
        if self._due.pop(client, None) is None:
            return False
        self._errors[client] = error
        shut_down(client, socket.SHUT_RD)
        return True

    def end(self, client: socket.socket) -> ClawgateError | None:
        """Stop counting; return why the reading was ended, where it was."""
        with self._lock:
            self._due.pop(client, None)
            return self._errors.pop(client, None)

    def _watch(self) -> None:
        while True:
            time.sleep(self._tick_s)
            with self._lock:  # a socket among them is not closed yet, so that its fd is still its own
                if not self._due:
                    self._is_watched = False
                    return
                now = time.monotonic()
                for client in [client for client, due in self._due.items() if due <= now]:
                    self._cut(client, BadRequest(f"body: expected all of it within {self.limit_s:g} s"))


class Clients:
    """The clients whose requests hold a thread now, oldest first.

    A thread waits for its client while a large body comes, while an answer is read, and while the connection lingers.
    `shed` ends such waits where threads are needed. It leaves answers in flight alone. A request that is whole before
    it has a thread never waits to be read.

    Threads: `_lock` guards the seats; it is taken before the one of `reads`.
    """

    def __init__(self, reads: ReadDeadlines | None = None) -> None:
        self.reads = reads or ReadDeadlines()
        self._lock = threading.Lock()
        self._seats: dict[socket.socket, _Seat] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def enter(self, client: socket.socket, *, is_whole: bool = False) -> None:
        """Note that a request of this client has a thread now; is_whole: all of it is here already."""
        with self._lock:
            self._seats[client] = _Seat(is_whole)

    def protect(self, client: socket.socket, is_in_flight: Callable[[], bool]) -> None:
        """Note that this client's answer may be in flight; the client is left alone while is_in_flight returns true."""
        with self._lock:
            if client in self._seats:
                self._seats[client].is_in_flight = is_in_flight

    def linger(self, client: socket.socket) -> None:
        """Note that this client has its answer, and its thread waits for the rest that it sends, or for its close."""
        with self._lock:
            if client in self._seats:
                self._seats[client].lingers = True

    def leave(self, client: socket.socket) -> bool:
        """Note that the thread is free again; False where `shed` ended the wait, and the connection must close."""
        with self._lock:
            seat = self._seats.pop(client, None)
            return seat is None or not seat.is_shed

    @contextmanager
    def reading(self, client: socket.socket | None) -> Iterator[None]:
        """Bound the reading of a body inside; without a socket (another server) nothing is bounded.

        Errors: BadRequest or Busy in place of what the read came to.
        """
        if client is None:
            yield
            return
        self.reads.begin(client)
        try:
            yield
        finally:
            error = self.reads.end(client)
            if error is not None:
                raise error

    def shed(self, count: int, patience_s: float = 0.0) -> int:
        """End the waits of so many threads for their clients, oldest first; return how many were ended now.

        Threads whose wait was ended before, and which have not left yet, are among the count. A body that does not come
        ends where it is, and its client gets 503 `busy`; an answer that is not read is given up.

        Units: patience_s is the least time for which a client is waited for.
        """
        ended = 0
        with self._lock:
            count -= sum(seat.is_shed for seat in self._seats.values())
            waited_since = time.monotonic() - patience_s
            for client, seat in self._seats.items():
                if ended >= count:
                    break
                if not seat.is_shed and not seat.is_in_flight() and self._end_wait(client, seat, waited_since):
                    seat.is_shed = True
                    ended += 1
        return ended

    def let_go(self) -> None:
        """Keep on ending every thread's wait for its client, answers in flight too; does not return.

        A worker that ends waits for these threads: one client that sends half a body would keep it for its whole grace.
        """
        while True:
            time.sleep(LAST_CHANCE_S)
            with self._lock:
                for seat in self._seats.values():
                    seat.is_in_flight = _never
            self.shed(len(self))

    def _end_wait(self, client: socket.socket, seat: _Seat, waited_since: float) -> bool:
        """End the wait of a thread for this client; False where it does not wait, or not for so long."""
        began_at = None if seat.is_whole else self.reads.begun_at(client)
        is_read_from = began_at is not None or seat.lingers
        if (began_at or seat.entered_at) > waited_since or _is_ready(client, is_read_from):
            return False
        if began_at is not None:
            return self.reads.cut(client)
        shut_down(client, socket.SHUT_RD if is_read_from else socket.SHUT_RDWR)
        return True


class _Seat:
    """The state of one client with a thread."""

    __slots__ = ("entered_at", "is_in_flight", "is_shed", "is_whole", "lingers")

    def __init__(self, is_whole: bool) -> None:
        self.is_whole = is_whole
        self.is_in_flight: Callable[[], bool] = _never
        self.is_shed = False
        self.lingers = False
        self.entered_at = time.monotonic()


def _never() -> bool:
    return False


def _is_ready(client: socket.socket, is_read_from: bool) -> bool:
    """Tell whether a thread that reads from this client, or writes to it, could go on now."""
    poll = select.poll()
    try:
        poll.register(client, select.POLLIN if is_read_from else select.POLLOUT)
        return bool(poll.poll(0))
    except (OSError, ValueError):  # its thread has closed it
        return True


def shut_down(sock: socket.socket, how: int) -> None:
    """Shut a connection, or one direction of it, on which another thread may be waiting.

    SSLSocket.shutdown would drop the TLS state while that thread uses it, and its writes would go out in plain text.
    """
    try:
        socket.socket.shutdown(sock, how)
    except OSError:
        pass  # the other side has closed it first
