"""Connections to Ollama: each is used once, and an exchange has its own in hand from the first moment on.

urllib3 makes connections by itself, deep in a call that returns when Ollama's first frame is there. A connection class,
mounted through an adapter of requests, hands each socket, the moment it is connected, to the exchange that is being
opened on that thread, so that any thread can abort it in any phase, in a TLS handshake too. The last byte of the
request leaves apart, once Ollama's side has taken in the bytes before it. So the exchange knows the moment from which
the request can have been read, and a request that is aborted earlier never becomes whole. Then the call ends, and the
exchange keeps the socket, which it reads without blocking. A connection without a captor does none of this; the answer
to what it asks is read here, head and body within one time.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

from clawgate.ollama.connecting import HandshakeTimeout
from clawgate.ollama.failures import CONNECT_TIMEOUT_S

if sys.platform == "linux":
    import fcntl
    import termios

MAX_ON_ITS_WAY_BYTES = 1 << 16
"""So much may be on its way before the last byte: a short request waits for no acknowledgement (up to 40 ms)."""
LOOK_EVERY_MS = 1
AT_ONCE_S = 0.01
"""Loopback accepts a connection at once, unless its queue is full; on a loaded machine at once is some ms."""


class Captor(Protocol):
    """An exchange that is being opened; both methods may raise, and the request goes no further."""

    def on_connected(self, sock: socket.socket) -> None:
        """Take a socket that is connected; nothing has been sent yet."""

    def on_last_byte(self) -> None:
        """Let the last byte of a request go: from now on Ollama can have read it whole."""


class RequestSent(Exception):
    """The request is out, and its captor reads the answer from the socket: nothing here waits for it."""


class WouldBlock(Exception):
    """Connecting takes longer than `AT_ONCE_S`, or the system takes no more of the request now; it is not whole."""


class _Opening(threading.local):
    """The captor of this thread: a connection that urllib3 makes finds its exchange by it."""

    captor: Captor | None = None
    is_until_sent = False
    is_at_once = False


_opening = _Opening()


@contextmanager
def captured_by(captor: Captor, *, is_until_sent: bool = False, is_at_once: bool = False) -> Iterator[None]:
    """Hand the captor the sockets of all connections that this thread makes through a `SingleUseAdapter`.

    is_until_sent: the captor reads the answer itself; where one would be waited for, RequestSent is raised.
    is_at_once: where anything else would be waited for, WouldBlock is raised.
    """
    _opening.captor, _opening.is_until_sent, _opening.is_at_once = captor, is_until_sent, is_at_once
    try:
        yield
    finally:
        _opening.captor, _opening.is_until_sent, _opening.is_at_once = None, False, False


class _Timely(io.RawIOBase):
    """Reads a socket until a moment: its own time-out would begin anew with each byte of a head that drips.

    The socket's time-out, as it is at first, bounds all reads together; without one nothing is bounded.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        timeout_s = sock.gettimeout()
        self._ends_at = None if timeout_s is None else time.monotonic() + timeout_s

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the file that http.client reads, as a socket does."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends_at is not None:
            left_s = self._ends_at - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer is not whole in time")
            self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimelyResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Timely(sock), *args, **kwargs)  # type: ignore[arg-type]  # all it takes of it is the file


class _HTTPConnection(HTTPConnection):
    """Hands its socket to the captor of this thread, and asks that before a request becomes whole."""

    response_class = _TimelyResponse

    def connect(self) -> None:
        if _opening.is_at_once:
            self.timeout = AT_ONCE_S
        try:
            super().connect()
        except ConnectTimeoutError as error:
            if _opening.is_at_once:
                raise WouldBlock from error
            raise
        if _opening.is_at_once:
            self.sock.setblocking(False)
        self._hand_over()

    def _hand_over(self) -> None:
        if _opening.captor is not None:
            _opening.captor.on_connected(self.sock)

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        if _opening.captor is not None and isinstance(body, bytes) and body:
            body = self._in_two(body, _opening.captor)  # requests has announced its length
        super().request(method, url, body, *args, **kwargs)

    def _in_two(self, body: bytes, captor: Captor) -> Iterator[bytes | memoryview]:
        yield memoryview(body)[:-1]
        if len(body) > MAX_ON_ITS_WAY_BYTES:
            _wait_until_taken(self.sock)
        captor.on_last_byte()
        yield body[-1:]

    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except BlockingIOError as error:
            raise WouldBlock from error

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3 returns its own
        if _opening.is_until_sent:
            self.sock = None  # the captor's: urllib3 closes what it finds here
            raise RequestSent
        return super().getresponse()


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """The same over TLS. urllib3's own `connect` would load the authorities each time, and hide the handshake."""

    def connect(self) -> None:
        HTTPConnection.connect(self)
        assert self.ssl_context is not None
        name = self.host.strip("[]").partition("%")[0].rstrip(".")
        self.sock = self.ssl_context.wrap_socket(self.sock, server_hostname=name, do_handshake_on_connect=False)
        self._hand_over()
        try:
            self.sock.do_handshake()
        except TimeoutError as error:
            raise HandshakeTimeout(self, "the TLS handshake is not over in time") from error
        self.is_verified = True  # or is not to be; the operator has been warned


def _wait_until_taken(sock: socket.socket) -> None:
    """Wait until the other side's system has taken in what was sent, the connection is over, or 5 s have passed.

    The system here takes 4 MB in at once, which a slow reader was seen to read half a second later. The other
    system may hold more that its program has yet to read, on loopback up to 2 MB: 12 ms for one that reads 150 MB/s.
    """
    ending = select.poll()
    ending.register(sock, 0)  # poll() reports an end unasked
    ends_at = time.monotonic() + CONNECT_TIMEOUT_S  # which bounds the sending itself, too
    while _on_its_way_bytes(sock) > MAX_ON_ITS_WAY_BYTES and time.monotonic() < ends_at:
        if ending.poll(LOOK_EVERY_MS):
            return


def _on_its_way_bytes(sock: socket.socket) -> int:
    """Return how much was sent and is not acknowledged; 0 where the system does not say.

    Source: Linux tcp(7), SIOCOUTQ.
    """
    if sys.platform != "linux":
        return 0
    count: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]
    return count


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection

    def _put_conn(self, conn: Any) -> None:
        """Close instead of keeping.

        urllib3 has no setting for that, and keeps a connection that was announced to close, where the server does not
        say that it will.
        """
        if conn is not None:
            conn.close()


class _HTTPSPool(_HTTPPool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class SingleUseAdapter(HTTPAdapter):
    """Makes connections that hand their sockets over, and uses none twice.

    context: that of all https connections, whatever requests is told of certificates.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def build_connection_pool_key_attributes(self, request: PreparedRequest, verify: Any, cert: Any = None) -> Any:
        """Name the host alone: the rest is requests' settings of TLS."""
        return super().build_connection_pool_key_attributes(request, verify, cert)[0], {}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the context as it is."""
