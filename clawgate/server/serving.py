"""Serves one request on a thread of its own, with gunicorn's parser and response.

- A request has a minute to come. An answer that is not read is given up after 15 s (sockets.py).
- An answer that leaves more of a body unread than is skipped says that the connection ends with it.
- The thread closes the connection after its last answer. It lingers before: a close before the client has sent all of a
  body resets the connection, and the answer is lost.
"""

from __future__ import annotations

import errno
import ssl
import time
from datetime import timedelta
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.util import close_graceful

from clawgate.server.connection import Connection
from clawgate.sockets import Clients

MAX_DRAIN_BYTES = 1 << 26
"""The part of a refused body that is read while its connection lingers."""
SKIPPED_BYTES = 1 << 16
"""A connection is kept where less of a body is unread behind an answer, and closed where more is."""
SKIP_S = 5
LEFT = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EAGAIN}
"""The client has left, or has read nothing for as long as a write may take (EAGAIN)."""


class Serving:
    """Serves one request at a time of each connection.

    Threads: any number of threads call `serve`, each with a connection of its own.
    """

    def __init__(self, worker: Any, clients: Clients) -> None:
        self._worker = worker  # the base class's `wsgi`, `cfg`, `log`, `alive`, `handle_error`
        self._clients = clients

    def serve(self, conn: Connection) -> None:
        """Serve a request; leave the socket open where another may follow on it."""
        try:
            conn.open(self._worker.cfg)
        except OSError as error:  # of TLS: the client has left, or the certificate is wrong
            self._note(error, conn, None)
            conn.sock.close()
            return
        client, is_kept = conn.sock, False
        self._clients.enter(client, is_whole=conn.is_whole)
        try:
            if not conn.is_whole:
                self._clients.reads.begin(client)
            is_kept = self._answer_safely(conn)
            if not is_kept:
                self._clients.linger(client)
                close_graceful(client, max_drain=MAX_DRAIN_BYTES)
        finally:
            self._clients.reads.end(client)
            is_free = self._clients.leave(client)
            if not (is_kept and is_free):  # one whose wait was ended cannot be read from any more
                client.close()

    def _answer_safely(self, conn: Connection) -> bool:
        """Answer, whatever comes; True where another request may follow."""
        request = None
        try:
            request = next(conn.parser)
            if self._clients.reads.end(conn.sock) is not None:
                return False  # its reading side has been shut: its time was over, or its thread was needed
            return self._answer(conn, request)
        except (NoMoreData, StopIteration):  # neither is logged with its text, which quotes the request
            self._worker.log.debug("The client has left")
        except OSError as error:
            self._note(error, conn, request)
        except (Exception, SystemExit) as error:  # noqa: BLE001  gunicorn tells the application's from the client's
            self._worker.handle_error(request, conn.sock, conn.address, error)
        return False

    def _note(self, error: OSError, conn: Connection, request: Any) -> None:
        if isinstance(error, ssl.SSLError) and error.args[0] != ssl.SSL_ERROR_EOF:
            self._worker.handle_error(request, conn.sock, conn.address, error)
        elif isinstance(error, ssl.SSLError) or error.errno in LEFT:
            self._worker.log.debug("The client has left: %s", error)
        else:
            self._worker.log.error("Socket error processing request.", exc_info=error)

    def _answer(self, conn: Connection, request: Any) -> bool:
        """Run the application on a request; True where another may follow."""
        worker, began_at = self._worker, time.monotonic()
        response, environ = wsgi.create(
            request, conn.sock, conn.address, conn.local, worker.cfg, response_class=_Response
        )
        environ["wsgi.multithread"] = True
        if not (worker.alive and worker.cfg.keepalive):
            response.force_close()
        try:
            body = worker.wsgi(environ, response.start_response)
            try:
                _write(response, body, environ["wsgi.file_wrapper"])
            finally:
                worker.log.access(response, request, environ, timedelta(seconds=time.monotonic() - began_at))
                if hasattr(body, "close"):
                    body.close()
        except OSError:
            raise
        except (Exception, SystemExit):
            if not response.headers_sent:
                raise
            worker.log.exception("Error handling request")
            return False
        return not response.should_close() and self._skip_rest(conn)

    def _skip_rest(self, conn: Connection) -> bool:
        """Read the rest of a body, so that the next request comes next; False where the rest does not come."""
        if not conn.is_whole:
            self._clients.linger(conn.sock)
        return bool(conn.parser.finish_body(deadline=time.monotonic() + SKIP_S))


class _Response(wsgi.Response):  # type: ignore[misc]  # gunicorn has no types
    """Says in its head that the connection ends with it, where too much of the request's body is unread."""

    def default_headers(self) -> Any:
        if is_left(self.req.body):
            self.force_close()
        return super().default_headers()


def is_left(body: Any) -> bool:
    """Tell whether too much of a request's body is unread for another request to follow it; of chunks, whether any."""
    left = getattr(body.reader, "length", None)
    if left is None:
        return getattr(body.reader, "parser", None) is not None
    return bool(left >= SKIPPED_BYTES)


def _write(response: Any, body: Any, file_wrapper: Any) -> None:
    if isinstance(body, file_wrapper):
        response.write_file(body)
    else:
        for item in body:
            response.write(item)
    response.close()
