"""Short HTTP calls on connections that stay open, as nginx makes them: how interrupts.py sends its interrupts."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from bench.loop import READ, Loop
from bench.script import now_us

OnAnswer = Callable[[int, bytes, int], None]
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Caller:
    """One connection that carries one call after the other; a connection that the server closed is made anew."""

    def __init__(self, loop: Loop, host: str, port: int) -> None:
        self._loop, self._place = loop, (host, port)
        self._sock: socket.socket | None = None
        self._inbox = b""
        self._on_answer: OnAnswer | None = None

    @property
    def is_free(self) -> bool:
        """Say whether no call is under way."""
        return self._on_answer is None

    def call(self, request: bytes, on_answer: OnAnswer) -> None:
        """Send a request; on_answer gets status, body and the moment of reading. Status 0: the connection was cut.

        Threads: connects while blocking, which takes microseconds on one machine.
        """
        if self._sock is None:
            self._sock = socket.create_connection(self._place, timeout=5)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock.setblocking(False)
            self._loop.watch(self._sock, READ, self._read)
        self._on_answer = on_answer
        self._sock.send(request)

    def close(self) -> None:
        """Close the connection, with whatever call is under way."""
        if self._sock is not None:
            self._loop.close(self._sock)
        self._sock, self._inbox = None, b""

    def _read(self, _events: int) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(65536)
        except OSError:
            data = b""
        self._inbox += data
        head, found, body = self._inbox.partition(b"\r\n\r\n")
        if not data:
            self.close()
            self._end(0, b"")
        elif found and (length := _LENGTH.search(head)) and len(body) >= int(length[1]):
            self._inbox = b""
            self._end(int(head.split(b" ", 2)[1]), body)

    def _end(self, status: int, body: bytes) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(status, body, now_us())
