"""The head of an HTTP/1.1 response out of raw bytes, for a reader that must not block: pure.

Only what an exchange asks of it is read: the status, and how the body is framed.
Source: RFC 9112, sections 2.2, 4 and 6.3.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from clawgate.ollama.body import Body, ChunkedBody, OpenBody, SizedBody

MAX_HEAD_BYTES = 1 << 16
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\n]*)?\r?\n")
_END = re.compile(rb"\n\r?\n")
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\n]*chunked", re.IGNORECASE)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r?\n", re.IGNORECASE)
_WITHOUT_BODY = (204, 304)


class MalformedHead(ValueError):
    """The bytes are not the head of an HTTP response."""


class Head(NamedTuple):
    """The beginning of a response; `rest` are the bytes of its body that came along."""

    status: int
    framing: Body
    rest: bytes
    raw: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The header's fields, by their names in lower case."""
        lines = self.raw.decode("latin-1").splitlines()[1:]
        pairs = (line.partition(":") for line in lines)
        return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def read_head(data: bytes) -> Head | None:
    """Read the head that these bytes begin with; None where it is not whole yet. Interim responses are skipped.

    Errors: MalformedHead.
    """
    start = 0
    while (line := _STATUS.match(data, start)) and (end := _END.search(data, line.end() - 1)):
        status = int(line[1])
        if status >= 200:
            raw = data[start : end.end()]
            return Head(status, _framing_of(status, raw), data[end.end() :], raw)
        start = end.end()
    is_wrong = line is None and data.find(b"\n", start) >= 0
    if is_wrong or len(data) > MAX_HEAD_BYTES:
        raise MalformedHead("what answers is not HTTP")
    return None


def _framing_of(status: int, head: bytes) -> Body:
    """Tell by a head how the body behind it is framed."""
    if status in _WITHOUT_BODY:
        return SizedBody(0)
    if _CHUNKED.search(head):
        return ChunkedBody()
    length = _LENGTH.search(head)
    return SizedBody(int(length[1])) if length else OpenBody()
