"""The socket of a request, captured the moment it is connected: what lets anybody abort it in any phase.

urllib3 makes connections by itself, deep in a call that returns when Ollama's first frame is there. A connection class,
mounted through an adapter of requests, hands each socket to the exchange that is being opened on that thread.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Captor(Protocol):
    """Who wants to have the sockets."""

    def on_connected(self, sock: socket.socket) -> None:
        """Take a socket that is connected; again when its request has been sent."""


class _Opening(threading.local):
    """Who captures on this thread: how a connection that urllib3 makes finds its exchange."""

    captor: Captor | None = None


_opening = _Opening()


@contextmanager
def captured_by(captor: Captor) -> Iterator[None]:
    """Hand the sockets of all connections that this thread makes through a `SingleUseAdapter` to somebody."""
    _opening.captor = captor
    try:
        yield
    finally:
        _opening.captor = None


class _CapturingHTTPConnection(HTTPConnection):
    """Hands its socket to who captures on this thread."""

    def connect(self) -> None:
        super().connect()
        _hand_over(self.sock)

    def getresponse(self) -> Any:
        _hand_over(self.sock)
        return super().getresponse()


class _CapturingHTTPSConnection(_CapturingHTTPConnection, HTTPSConnection):
    """The same over TLS: `super()` there is HTTPSConnection here."""


def _hand_over(sock: socket.socket | None) -> None:
    if sock is not None and _opening.captor is not None:
        _opening.captor.on_connected(sock)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _CapturingHTTPConnection

    def _put_conn(self, conn: Any) -> None:
        """Close instead of keeping.

        urllib3 has no setting for that, and keeps a connection that was announced to close, where the server does not
        say that it will.
        """
        if conn is not None:
            conn.close()


class _HTTPSPool(_HTTPPool, HTTPSConnectionPool):
    ConnectionCls = _CapturingHTTPSConnection


class SingleUseAdapter(HTTPAdapter):
    """Makes connections that hand their sockets over, and uses none twice."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
