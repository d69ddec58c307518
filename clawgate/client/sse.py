"""Server-sent events, read from bytes that are cut anywhere: pure.

Source: WHATWG HTML, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream". `retry` is not used: the
one who reads has a back-off of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 64 << 20
"""One event may be as long: a `reset` has a whole answer in it."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Message(NamedTuple):
    """An event as it is dispatched.

    last_id: the last id of the stream so far, which this event need not have brought; "" where none has come.
    """

    kind: str
    data: str
    last_id: str


class TooLong(ValueError):
    """An event is longer than its bound."""


class Parser:
    """Cuts a stream into events. A line ends at LF, CR or CRLF; bytes that are no UTF-8 become U+FFFD.

    Errors: TooLong for an event of more than max_bytes.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._is_behind_cr = False
        self._is_at_start = True
        self._data: list[bytes] = []
        self._size_bytes = 0
        self._kind = ""
        self._last_id = ""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take the next bytes; yield the events that they complete."""
        for line in self._lines(data):
            if line:
                self._take(line)
            elif self._data:
                yield self._dispatch()
            else:
                self._kind = ""
                self._size_bytes = 0

    def _lines(self, data: bytes) -> Iterator[bytes]:
        if self._is_behind_cr and data:
            data = data.removeprefix(b"\n")
            self._is_behind_cr = False
        *whole, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._is_behind_cr = data.endswith(b"\r")
        for end in whole:
            self._grow(end)
            line = bytes(self._line)
            self._line.clear()
            yield self._without_mark(line)
        self._grow(rest)

    def _grow(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._max_bytes:
            raise TooLong(f"an event of more than {self._max_bytes} bytes")
        self._line += piece

    def _without_mark(self, line: bytes) -> bytes:
        is_first, self._is_at_start = self._is_at_start, False
        return line.removeprefix(_BYTE_ORDER_MARK) if is_first else line

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._last_id = value.decode("utf-8", "replace")

    def _dispatch(self) -> Message:
        message = Message(self._kind, b"\n".join(self._data).decode("utf-8", "replace"), self._last_id)
        self._data.clear()
        self._size_bytes = 0
        self._kind = ""
        return message
