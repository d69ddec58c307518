"""Wire: stands between a browser and a gateway, to let connections die without a word, or to answer in its place."""

from __future__ import annotations

import select
import socket
from types import TracebackType

from tests.support.connection import TICK_S, Connection
from tests.support.record import read_request
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S


def page(status: str, title: str) -> bytes:
    """Make the answer of a proxy that shows browsers a page."""
    body = f"<!doctype html><title>{title}</title><h1>{title}</h1>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


class Wire:
    """A running relay before one gateway. A context manager.

    Shape: bytes pass as they come, in both directions, and so do the ends of connections.
    Threads: a test's own sets what becomes of connections; the serving threads see it within `TICK_S`.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._dead = 0
        self._over = 0
        self._is_down = False
        self._loses_next = False
        self._answer = b""
        self._keeps_streams = False
        self._server = SocketServer(self._serve, host="127.0.0.1", port=0)
        self._server.start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        assert kind is not None or not self._server.problems, "the wire:\n" + "\n".join(self._server.problems)

    @property
    def base_url(self) -> str:
        """The gateway's address for a browser."""
        return f"http://127.0.0.1:{self._server.port}"

    def swallow(self) -> None:
        """Let the present streams die without a word: they stay open, and nothing passes any more; others are ended."""
        self._dead = self._server.count

    def cut(self, *, stays_down: bool = False) -> None:
        """End all present connections; where it stays down, all that come, too, until `mend`."""
        self._is_down = stays_down
        self._over = self._server.count

    def mend(self) -> None:
        """Let connections pass again."""
        self._is_down = False

    def lose_next_head(self) -> None:
        """Pass the next question on, and end its connection before the first byte of its stream has passed."""
        self._loses_next = True

    def answer(self, response: bytes, *, keeps_streams: bool = False) -> None:
        """Answer every request with these bytes from now on, in the gateway's place; b"" lets them pass again."""
        self._answer = response
        self._keeps_streams = keeps_streams

    def _serve(self, connection: Connection) -> None:
        if self._answer:
            if read_request(connection) is not None:
                connection.send(self._answer)
            return
        if self._is_down:
            return
        with socket.create_connection(self._target, DEADLINE_S) as upstream:
            ends = {connection.sock: upstream, upstream: connection.sock}
            upstream.settimeout(DEADLINE_S)
            is_stream = False
            while not connection.over.is_set() and not (self._answer and not (is_stream and self._keeps_streams)):
                if connection.number <= self._over:
                    return
                if connection.number <= self._dead:
                    if not is_stream:
                        return
                    connection.over.wait(TICK_S)
                    continue
                for end in select.select(list(ends), [], [], TICK_S)[0]:
                    if connection.number <= self._dead:
                        break  # it died while its bytes were waited for
                    try:
                        data = end.recv(65536)
                        if not data:
                            return
                        is_stream = is_stream or b"Content-Type: text/event-stream" in data
                        if is_stream and self._loses_next:
                            self._loses_next = False
                            return
                        ends[end].sendall(data)
                    except OSError:
                        return
