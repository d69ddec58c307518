"""The body of an HTTP response as its framing says, for `client.StreamClient`: strict, and it keeps the chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


class BodyReader:
    """Take the bytes after a response's head in pieces of any size and give back the payload.

    Errors: AssertionError for broken chunk framing, and for bytes after the body's end.
    """

    def __init__(self, headers: Message, *, has_body: bool) -> None:
        self.is_complete = not has_body
        """True once the terminating chunk, or the last byte of a body with a length, has come."""
        self.chunks: list[bytes] = []
        self._is_chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = headers.get("Content-Length")
        assert not (self._is_chunked and length), f"both chunked and with a length: {headers.items()}"
        self._left = int(length) if length is not None and has_body else None  # HEAD names a length all the same
        self._rest = b""
        if self._left == 0:
            self.is_complete = True

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the connection and return the payload in them."""
        if self._is_chunked:
            return self._feed_chunked(data)
        assert not (self.is_complete and data), f"bytes after the body: {data!r}"
        if self._left is not None:
            assert len(data) <= self._left, f"bytes after the body: {data[self._left :]!r}"
            self._left -= len(data)
            self.is_complete = self._left == 0
        return data

    def _feed_chunked(self, data: bytes) -> bytes:
        self._rest += data
        chunks = list(self._whole_chunks())
        self.chunks += chunks
        return b"".join(chunks)

    def _whole_chunks(self) -> Iterator[bytes]:
        while not self.is_complete:
            size_line, found, after = self._rest.partition(b"\r\n")
            assert not found or _SIZE.fullmatch(size_line), f"not a chunk's size: {size_line[:80]!r}"
            size = int(size_line, 16) if found else 0
            if not found or len(after) < size + 2:
                return
            assert after[size : size + 2] == b"\r\n", f"a chunk of {size} bytes does not end: {after[: size + 2]!r}"
            self._rest = after[size + 2 :]
            if size == 0:
                self.is_complete = True
            else:
                yield after[:size]
        assert not self._rest, f"bytes after the terminating chunk: {self._rest!r}"
