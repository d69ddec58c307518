"""Threads and sockets: one thread a connection, kept alive between requests, as a client of Ollama expects.

__main__.py builds it. Written on the standard library's socket server, because a streamed answer's header must not
leave before its first frame, which no WSGI server lets us say.
"""

from __future__ import annotations

import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from typing import Any

from clawgate.embedded import guard, wire
from clawgate.embedded.routes import Reply, Routes

_IDLE_S = 120.0
"""The time that a kept-alive connection may say nothing, and that a write may wait for a client that does not read."""


class EmbeddedServer(socketserver.ThreadingTCPServer):
    """Listens as soon as it is built; `serve_forever` answers. Threads that still answer do not hold up the end."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, routes: Routes, *, is_verbose: bool = False) -> None:
        self.routes = routes
        self.is_verbose = is_verbose
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.is_on_loopback = guard.is_loopback(str(self.server_address[0]))

    @property
    def url(self) -> str:
        """The address as a client writes it."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an unforeseen error; that a client has left is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Its request line and header are the standard library's; every byte back is ours."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _IDLE_S
    server: EmbeddedServer

    def do_GET(self) -> None:
        """Answer a request of any method."""
        try:
            body = self._body()
        except ValueError:
            self.send_error(400)
            return
        self._extra = {"Connection": "close"} if self.close_connection else {}  # said, or the client keeps the socket
        reply = self._refusal() or self._answer(body)
        if reply is not None:
            self.wfile.write(
                wire.whole(
                    reply.status, reply.body, reply.kind, self._extra | reply.extra, has_body=self.command != "HEAD"
                )
            )

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the base class finds them by name

    def stream(self) -> wire.FrameWriter:
        """Begin a streamed answer."""
        is_chunked = self.request_version != "HTTP/1.0"
        self.close_connection = self.close_connection or not is_chunked
        return wire.FrameWriter(self.wfile, self._extra, is_chunked=is_chunked)

    def is_gone(self) -> bool:
        """Say whether the client has left."""
        return wire.is_gone(self.connection)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP, as Go does, and hang up. The signature is the standard library's."""
        del explain
        self.close_connection = True
        text = f"{code} {message or 'Bad Request'}".encode("latin-1", "replace")
        self.wfile.write(wire.whole(code, text, wire.TEXT, {"Connection": "close"}))

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request, when asked to be verbose."""
        if self.server.is_verbose:
            super().log_message(format, *args)

    def _answer(self, body: bytes) -> Reply | None:
        self.log_request()
        try:
            return self.server.routes.answer(self.command, self.path.partition("?")[0], body, self)
        except (ConnectionError, TimeoutError):  # the client left in the middle of its answer
            self.close_connection = True
            return None

    def _refusal(self) -> Reply | None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if origin is not None:
            if not guard.is_origin_allowed(origin, host):
                return Reply(403)
            self._extra |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self.server.is_on_loopback and not guard.is_host_allowed(host):
            return Reply(403)
        if self.command == "OPTIONS":
            return Reply(204, extra={"Access-Control-Allow-Methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"})
        return None

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return wire.read_chunked(self.rfile)
        length = int(self.headers.get("Content-Length", "0"))
        if length < 0:
            raise ValueError("a negative length")
        return self.rfile.read(length)
