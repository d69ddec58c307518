"""Bytes on the connection: answers as Go writes them, chunked bodies in and out, and whether the client is there.

server.py uses it for every request. A streamed answer sends nothing, headers included, before its first frame is there,
and each frame leaves in one piece.
"""

from __future__ import annotations

import select
import socket
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol


class Source(Protocol):
    """The source of a request's bytes."""

    def read(self, size: int, /) -> bytes:
        """Read that many bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Read a line, but no more than that many bytes."""


class Sink(Protocol):
    """The way of an answer's bytes to the client, unbuffered."""

    def write(self, data: bytes, /) -> int:
        """Write all of it."""


TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"

_HAS_RDHUP = hasattr(select, "POLLRDHUP")


def is_gone(connection: socket.socket) -> bool:
    """Say whether the client has closed its side; Go ends a request then too. Asks the kernel, reads nothing."""
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP if _HAS_RDHUP else select.POLLIN)
    try:
        events = poller.poll(0)
    except OSError:
        return True
    if not events:
        return False
    return _HAS_RDHUP or _is_at_end(connection)


def _is_at_end(connection: socket.socket) -> bool:
    """Look at what is readable, where poll cannot tell an end from bytes (macOS)."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def head(status: int, fields: dict[str, str]) -> bytes:
    """Build the status line and the header."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    lines += [f"Date: {formatdate(usegmt=True)}", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def whole(status: int, body: bytes, kind: str, extra: dict[str, str], *, has_body: bool = True) -> bytes:
    """Build an answer of known length; without its body for HEAD."""
    fields = {"Content-Type": kind} if body else {}
    fields |= ({} if status == HTTPStatus.NO_CONTENT else {"Content-Length": str(len(body))}) | extra
    return head(status, fields) + (body if has_body else b"")


def read_chunked(source: Source) -> bytes:
    """Read a chunked request body to its end. Errors: ValueError where it is not one."""
    parts = []
    while size := int(source.readline(64).partition(b";")[0], 16):
        part = source.read(size)
        if len(part) != size or source.readline(3) != b"\r\n":
            raise ValueError("a chunk is not as long as it says")
        parts.append(part)
    while source.readline(65536).strip():
        pass  # trailers
    return b"".join(parts)


class FrameWriter:
    """Writes one streamed answer: lines of NDJSON, each a chunk; to an HTTP/1.0 client the bare lines.

    Errors: OSError where the client is gone.
    """

    def __init__(self, sink: Sink, extra: dict[str, str], *, is_chunked: bool) -> None:
        self._sink = sink
        self._extra = extra
        self._is_chunked = is_chunked
        self.has_begun = False

    def send(self, frame: bytes) -> None:
        """Send a frame; the first one takes the header with it."""
        line = frame + b"\n"
        data = b"%x\r\n%b\r\n" % (len(line), line) if self._is_chunked else line
        self._sink.write(data if self.has_begun else self._head() + data)
        self.has_begun = True

    def end(self) -> None:
        """Send the terminating chunk."""
        if self._is_chunked:
            self._sink.write(b"0\r\n\r\n")

    def _head(self) -> bytes:
        framing = {"Transfer-Encoding": "chunked"} if self._is_chunked else {"Connection": "close"}
        return head(200, {"Content-Type": NDJSON} | self._extra | framing)
