"""One accepted TCP connection of the scripted Ollama, with every way to end it.

`server.SocketServer` makes it; the serving thread reads and writes it. Bytes leave as they are given, at once.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

TICK_S = 0.02
"""The delay with which a blocked read or write, or a `wait` for a test's event, sees the connection's end."""

_LAST_DATA_RECV = 52
_LINGER_0 = struct.pack("ii", 1, 0)


class ConnectionOverError(Exception):
    """The client closed, or the server is being stopped: nothing more can be said on this connection."""


class Connection:
    """A connection: bytes in, bytes out, and how and when it ended.

    Threads: the serving thread receives, sends and closes; `note_hangup` and `abort` may come from any thread.
    `_lock` guards what `is_over` and `closed_at` say together.
    """

    def __init__(self, sock: socket.socket, number: int, on_over: Callable[[Connection], None]) -> None:
        self.sock = sock
        self.number = number
        self.over = threading.Event()
        """Set at whichever comes first: the client closed, we closed, the server stopped."""
        self.over_by_client = threading.Event()
        self.closed_at: float | None = None
        self._on_over = on_over
        self._lock = threading.Lock()
        self._unread = b""
        self._ends_by_reset = False
        sock.settimeout(TICK_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self) -> bytes:
        """Return the next bytes of the client; b"" once it has closed."""
        data, self._unread = self._unread, b""
        while not data:
            if self.over.is_set():
                return b""
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                self.note_hangup()
                return b""
            if not data:
                self.note_hangup()
                return b""
        return data

    @property
    def received_at(self) -> float:
        """The time at which the system received the client's last bytes, as far as it tells: a thread reads later.

        Source: Linux tcp(7), TCP_INFO; linux/tcp.h, tcpi_last_data_recv, milliseconds.
        """
        now = time.monotonic()
        if sys.platform != "linux":
            return now
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV + 4)
        except OSError:  # closed meanwhile
            return now
        ago_ms: int = struct.unpack_from("I", info, _LAST_DATA_RECV)[0]
        return now - ago_ms / 1000

    def unread(self, data: bytes) -> None:
        """Give back what was received beyond one request."""
        self._unread = data + self._unread

    def send(self, data: bytes) -> None:
        """Send all of the bytes.

        Errors: ConnectionOverError when the client has closed or the server stops, also while the client does not read.
        """
        rest = memoryview(data)
        while rest:
            self.check()
            try:
                rest = rest[self.sock.send(rest) :]
            except TimeoutError:
                continue
            except OSError:
                self.note_hangup()

    def check(self) -> None:
        """Raise ConnectionOverError if nothing more can be said here."""
        if self.over.is_set():
            raise ConnectionOverError

    def close(self) -> None:
        """Close properly: FIN after what has been sent (a reset after `abort(reset=True)`)."""
        self._end()
        if self._ends_by_reset:
            self.reset()
            return
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client was faster
            pass
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset; what the client has not read yet is lost."""
        self._end()
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        except OSError:  # it is closed already
            pass
        self.sock.close()

    def abort(self, reset: bool) -> None:
        """End the connection from another thread, as when the process is killed; the serving thread closes it."""
        self._ends_by_reset = reset
        self._end()
        if not reset:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed already
                pass

    def note_hangup(self) -> None:
        """Record that the client closed or reset the connection, unless we ended it first."""
        with self._lock:
            if self.over.is_set():
                return
            self.closed_at = time.monotonic()
            self.over.set()
        self._on_over(self)
        self.over_by_client.set()

    def _end(self) -> None:
        with self._lock:
            if self.over.is_set():
                return
            self.over.set()
        self._on_over(self)
