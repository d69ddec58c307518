"""One answer of a target as the load generator sees it: a non-blocking connection, its request, its reader.

load.py and interrupts.py open them by the hundred on one loop.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from bench.kinds import KINDS, Kind
from bench.loop import READ, WRITE, Loop
from bench.reader import Reader
from bench.script import Script, now_us


@dataclass(frozen=True)
class Address:
    """The place where a target listens, and the format of its requests."""

    kind: Kind
    host: str
    port: int
    path: str = ""
    token: str = ""

    @classmethod
    def parse(cls, text: str, token: str = "") -> Address:
        """Read ``KIND:http://HOST:PORT[/PATH]``.

        Errors: ValueError says what was expected.
        """
        name, _, url = text.partition(":")
        scheme, _, rest = url.partition("://")
        where, slash, path = rest.partition("/")
        host, colon, port = where.partition(":")
        if name not in KINDS or scheme != "http" or not host or (colon and not port.isdigit()):
            raise ValueError(f"{text}: expected KIND:http://HOST:PORT[/PATH], KIND one of {', '.join(KINDS)}")
        return cls(KINDS[name], host, int(port or 80), slash + path if path else "", token)

    def request(self, script: Script, session: str, history_bytes: int = 0) -> bytes:
        """Return the request for an answer as bytes."""
        request = self.kind.request(script, session, f"{self.host}:{self.port}", self.token, history_bytes)
        return request.replace(self.kind.path.encode(), self.path.encode(), 1) if self.path else request


class Answer:
    """A connection that asks once and is closed when its answer is over; `done` is called then, exactly once.

    on_read, if given, is called after every read.
    """

    __slots__ = ("_on_read", "_request", "_sock", "asked_us", "done", "loop", "reader", "script", "session")

    def __init__(
        self,
        loop: Loop,
        address: Address,
        script: Script,
        session: str,
        lags: array[int],
        done: Callable[[Answer], None],
        on_read: Callable[[Answer], None] | None = None,
        history_bytes: int = 0,
    ) -> None:
        self.loop, self.script, self.session, self.done, self._on_read = loop, script, session, done, on_read
        self.reader = Reader(address.kind, lags)
        self._request = address.request(script, session, history_bytes)
        self._sock = socket.socket()
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked_us = now_us()
        self._sock.connect_ex((address.host, address.port))
        loop.watch(self._sock, WRITE, self._write)

    @property
    def is_complete(self) -> bool:
        """Say whether every token came once and in order, with exactly one end and no error."""
        reader = self.reader
        is_whole = reader.tokens == self.script.total and not reader.disordered
        return is_whole and reader.ends == 1 and reader.reason == "stop" and not reader.error

    @property
    def added_us(self) -> int:
        """Return what the target added to the time to the first token."""
        return self.reader.first_us - self.asked_us - self.reader.silent_us

    def hang_up(self) -> None:
        """Close the connection now, as a browser that is closed does."""
        if not self.reader.is_over:
            self.reader.is_over = True
            self.loop.close(self._sock)
            self.done(self)

    def _fail(self, reason: str) -> None:
        self.reader.error = self.reader.error or reason
        self.hang_up()

    def _write(self, _events: int) -> None:
        try:
            self._request = self._request[self._sock.send(self._request) :]
        except OSError as error:
            self._fail(f"connect: {error.strerror}")
            return
        if not self._request:
            handler = self._read if self._on_read is None else self._read_and_call
            self.loop.change(self._sock, READ, handler)

    def _read(self, _events: int) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError as error:
            self._fail(f"read: {error.strerror}")
            return
        if self.reader.feed(data, now_us()):
            self.loop.close(self._sock)
            self.done(self)

    def _read_and_call(self, events: int) -> None:
        self._read(events)
        if self._on_read is not None:
            self._on_read(self)
