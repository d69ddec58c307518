"""Tee: stands between a gateway and an Ollama on another port, and keeps every request that goes through."""

from __future__ import annotations

import socket
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.connection import TICK_S, Connection, ConnectionOverError
from tests.support.record import Request, read_request
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S


class Tee:
    """A running tee before one Ollama. A context manager.

    Shape: one request a connection; the answer passes byte for byte, and a client that leaves is passed on.
    """

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self.requests: list[Request] = []
        """Every request, in the order in which their bodies were whole."""
        self._address = (url.hostname or "", url.port or 80)
        self._server = SocketServer(self._serve, host="127.0.0.1", port=0)
        self._server.start()

    def __enter__(self) -> Tee:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        assert kind is not None or not self._server.problems, "the tee:\n" + "\n".join(self._server.problems)

    @property
    def base_url(self) -> str:
        """The value for `model.endpoint`."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def chats(self) -> list[Request]:
        """The requests to /api/chat."""
        return [request for request in list(self.requests) if request.path == "/api/chat"]

    def _serve(self, connection: Connection) -> None:
        request = read_request(connection)
        if request is None:
            return
        self._server.watch(connection)
        self.requests.append(request)
        with socket.create_connection(self._address, DEADLINE_S) as upstream:
            upstream.sendall(self._encoded(request))
            upstream.settimeout(TICK_S)
            try:
                _copy(upstream, connection)
            except ConnectionOverError:
                pass

    def _encoded(self, request: Request) -> bytes:
        fields = {**dict(request.headers.items()), "Connection": "close"}
        head = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + request.body


def _copy(upstream: socket.socket, connection: Connection) -> None:
    while True:
        connection.check()
        try:
            data = upstream.recv(65536)
        except TimeoutError:
            continue
        if not data:
            return
        connection.send(data)
