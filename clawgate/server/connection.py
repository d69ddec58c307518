"""A client's connection: it sees how much of a request is there, without a thread and without taking it."""

from __future__ import annotations

import re
import socket
import time
from enum import Enum, auto
from ssl import SSLSocket
from typing import Any, NamedTuple

from gunicorn.http import RequestParser
from gunicorn.sock import ssl_wrap_socket

from clawgate.sockets import shut_down

HEAD_END = b"\r\n\r\n"
PEEKED_BYTES = 1 << 14
"""A longer request is read by a thread, which can be freed like any other."""
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*0*([0-9]{1,18})")
_SLOW = (b"\ntransfer-encoding:", b"\nexpect:")
"""Bodies without a length, and those that come only when they are asked for."""


class Arrival(Enum):
    """The result of a look at a connection."""

    PART = auto()
    """Nothing yet, or too little of a request for a thread; the poll fires when there is more."""
    REQUEST = auto()
    """Enough for a thread: all of the request, its head where the rest may take long, or all that comes of it."""
    END = auto()
    """The client has left between two requests."""


class Connection:
    """A connection that was accepted.

    Threads: the main loop uses it while it waits, and one thread while a request is served; never both.
    """

    __slots__ = ("_wanted_bytes", "address", "closes_at", "is_opaque", "is_whole", "local", "parser", "sock")

    def __init__(self, sock: socket.socket, address: Any, local: Any, *, is_tls: bool) -> None:
        self.sock = sock
        self.address = address
        self.local = local
        self.parser: Any = None
        self.closes_at = 0.0
        self.is_whole = False
        # a Unix socket's poll fires for each byte, whatever SO_RCVLOWAT says
        self.is_opaque = is_tls or sock.family == socket.AF_UNIX
        self._wanted_bytes = 1

    @property
    def has_begun(self) -> bool:
        """Tell whether a part of a request is there."""
        return self._wanted_bytes > 1

    def look(self, read_s: float) -> Arrival:
        """Look how much is there; the first part of a request sets the moment by which all of it has to be there.

        Afterwards `is_whole` is true where all of the request is there, so that no read of it waits for the client.
        """
        self.is_whole = False
        if self._has_read_ahead():
            return Arrival.REQUEST
        try:
            said = socket.socket.recv(self.sock, PEEKED_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return Arrival.PART
        except OSError:
            return Arrival.END
        if not said and not self.has_begun:
            return Arrival.END
        if self.is_opaque:
            return Arrival.REQUEST
        wanted, is_all = outlook(said)
        # less than the poll was to wait for: the client has closed its side, which the thread finds out
        if self._wanted_bytes <= len(said) < wanted <= PEEKED_BYTES:
            if not self.has_begun:
                self.closes_at = time.monotonic() + read_s
            self._want(wanted)
            return Arrival.PART
        self.is_whole = is_all and len(said) >= wanted
        self._want(1)
        return Arrival.REQUEST

    def take_as_it_is(self) -> None:
        """Wait for no more: a thread that reads on finds the end behind the bytes that have come."""
        self._want(1)
        shut_down(self.sock, socket.SHUT_RD)

    def open(self, cfg: Any) -> None:
        """Make ready for the first request; TLS shakes hands at the first read."""
        if self.parser is None:
            if cfg.is_ssl:
                self.sock = ssl_wrap_socket(self.sock, cfg)
            self.parser = RequestParser(cfg, self.sock, self.address)

    def _has_read_ahead(self) -> bool:
        """Tell whether bytes that the kernel no longer has wait to be parsed."""
        if self.parser is None:
            return False
        return bool(self.parser.unreader.buf.getvalue() or (isinstance(self.sock, SSLSocket) and self.sock.pending()))

    def _want(self, count: int) -> None:
        """Have the poll, and each read, wait for so many bytes."""
        if count != self._wanted_bytes:
            self._wanted_bytes = count
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


class Outlook(NamedTuple):
    """The bytes of a request that are to be there before it has a thread, and whether these are all of it."""

    wanted_bytes: int
    is_all: bool


def outlook(said: bytes) -> Outlook:
    """Tell from the beginning of a request how much to wait for: all of it, or its head where the rest may take long.

    This is a hint: the parser decides what the head says, and its reading has a deadline in any case.
    """
    head_bytes = said.find(HEAD_END) + len(HEAD_END)
    if head_bytes < len(HEAD_END):
        return Outlook(len(said) + 1, is_all=False)
    head = said[:head_bytes].lower()
    length = _LENGTH.search(head)
    all_bytes = head_bytes + int(length[1]) if length else head_bytes
    is_slow = all_bytes > PEEKED_BYTES or any(mark in head for mark in _SLOW)
    return Outlook(head_bytes if is_slow else all_bytes, is_all=not is_slow)
