"""One request on its thread: what the application sees, and what becomes of the connection."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from clawgate.server.connection import Arrival, Connection
from clawgate.server.serving import Serving
from clawgate.sockets import Clients
from tests.support.tools import DEADLINE_S, wait_for

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
Environ = dict[str, Any]


class Served:
    """A connection, the client's end of it, and the parts that serve its requests."""

    def __init__(self, conn: Connection, client: socket.socket) -> None:
        self.conn = conn
        self.client = client
        self.clients = Clients()
        self.environ: Environ = {}
        self.body: Callable[[], Iterator[bytes]] = lambda: iter([b"ok"])
        cfg = Config()
        cfg.set("keepalive", 60)
        self.worker = SimpleNamespace(cfg=cfg, log=Logger(cfg), alive=True, wsgi=self._app)

    def _app(self, environ: Environ, start_response: Any) -> Iterator[bytes]:
        self.environ = environ
        start_response("200 OK", [("Content-Length", "2")])
        return self.body()

    def answer(self) -> bytes:
        """Read an answer, whose body is "ok"; it may come in two pieces."""
        data = b""
        while not data.endswith(b"ok"):
            piece = self.client.recv(1 << 16)
            assert piece, data
            data += piece
        return data

    def serve(self, request: bytes) -> None:
        """Send a request and serve it."""
        self.client.sendall(request)
        wait_for(lambda: self.conn.look(60) == Arrival.REQUEST, "the request is there")
        Serving(self.worker, self.clients).serve(self.conn)


@pytest.fixture
def served() -> Iterator[Served]:
    """A connection of loopback's."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.settimeout(DEADLINE_S)
        client.connect(listener.getsockname())
        sock, address = listener.accept()
        with sock:
            yield Served(Connection(sock, address, listener.getsockname(), is_tls=False), client)


def test_an_application_is_told_that_there_are_threads(served: Served) -> None:
    served.serve(REQUEST + b"body")
    assert served.environ["wsgi.multithread"] is True
    served.answer()
    assert served.conn.sock.fileno() >= 0, "another request may follow"


def test_an_answer_of_a_worker_that_ends_says_that_the_connection_ends(served: Served) -> None:
    served.worker.alive = False
    closing = threading.Thread(target=served.serve, args=(REQUEST + b"body",))
    closing.start()
    answer = served.answer().lower()
    served.client.close()
    closing.join()
    assert b"connection: close" in answer
    assert served.conn.sock.fileno() < 0


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EPIPE, errno.ECONNRESET])
def test_a_client_that_left_or_reads_nothing_is_no_error(served: Served, number: int) -> None:
    lines: list[str] = []
    served.worker.log = SimpleNamespace(
        debug=lambda *_: lines.append("debug"), error=lambda *_, **__: lines.append("error")
    )
    for raised in (number, errno.EIO):
        Serving(served.worker, served.clients)._note(OSError(raised, ""), served.conn, None)
    assert lines == ["debug", "error"]


def test_a_thread_that_skips_an_unread_body_can_be_freed(served: Served) -> None:
    serving = threading.Thread(target=served.serve, args=(REQUEST.replace(b": 4", b": 20000"),))
    serving.start()
    served.answer()
    wait_for(lambda: served.clients.shed(1) == 1, "the wait is ended", 3)
    serving.join()
    assert served.conn.sock.fileno() < 0
