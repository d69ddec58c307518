"""A TCP proxy whose connections a test can cut, and which can be away."""

from __future__ import annotations

import select
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.connection import TICK_S, Connection, ConnectionOverError
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S


class CuttingProxy:
    """A proxy before one server, byte for byte. A context manager."""

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._address = (url.hostname or "", url.port or 80)
        self._server = SocketServer(self._serve, host="127.0.0.1", port=0)
        self._server.start()
        self.is_mute = threading.Event()
        """While it is set, nothing passes, and no connection ends."""
        self.is_spoken_to = threading.Event()
        """Set once a client has sent something that does not pass."""

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        assert kind is not None or not self._server.problems, "\n".join(self._server.problems)

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def count(self) -> int:
        """The connections so far."""
        return self._server.count

    def cut(self, *, reset: bool = False) -> None:
        """End every connection at once, and take new ones."""
        self.go_away(reset=reset)
        self.come_back()

    def go_away(self, *, reset: bool = False) -> None:
        """End every connection, and refuse new ones."""
        self._server.stop(reset=reset)

    def come_back(self) -> None:
        """Take connections again."""
        self._server.start()

    def _serve(self, connection: Connection) -> None:
        with socket.create_connection(self._address, DEADLINE_S) as upstream:
            while not connection.over.is_set():
                if self.is_mute.is_set():
                    if _has_sent(connection.sock):
                        self.is_spoken_to.set()
                    connection.over.wait(TICK_S)
                    continue
                ready = select.select([connection.sock, upstream], [], [], TICK_S)[0]
                try:
                    if connection.sock in ready:
                        data = connection.receive()
                        if not data:
                            return
                        upstream.sendall(data)
                    if upstream in ready:
                        data = upstream.recv(65536)
                        if not data:
                            return
                        connection.send(data)
                except (ConnectionOverError, OSError):
                    return


def _has_sent(sock: socket.socket) -> bool:
    """Tell whether bytes of a client wait to be read."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
