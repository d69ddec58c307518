"""Reads one streamed HTTP answer from raw bytes: tokens, lag, order, ends. Pure; answers.py feeds it from a socket.

Always holds: a token is counted once, when the whole chunk and line that carry it are there, however they were cut.
"""

from __future__ import annotations

import re
from array import array

from bench.kinds import Kind
from bench.script import RECEIVED, TOKEN

_REASON = re.compile(rb'"done_reason": ?"(\w+)"')


class Reader:
    """One answer as far as it has come.

    Units: `lags` gets each token's way from upstream to here, in microseconds; it is shared by all readers of a run.
    `silent_us` is the upstream's own time from request to first token, which is no fault of the target.
    """

    __slots__ = (
        "_chunked", "_ends", "_event", "_left", "_raw", "_tail", "bytes", "disordered", "ends", "error", "events",
        "first_us", "is_over", "lags", "last_part", "last_us", "reason", "silent_us", "status", "tokens",
    )  # fmt: skip

    def __init__(self, kind: Kind, lags: array[int]) -> None:
        self.lags = lags
        self._event, self._ends = kind.event, kind.ends
        self._raw = self._tail = self.last_part = b""
        self._chunked, self._left = False, -1
        self.status = self.bytes = self.events = self.tokens = self.disordered = self.ends = 0
        self.first_us = self.last_us = self.silent_us = 0
        self.reason = self.error = ""
        self.is_over = False

    def feed(self, data: bytes, now_us: int) -> bool:
        """Take what the socket gave, no bytes being the end of the connection; true when the answer is over."""
        if not data:
            self._end_of_connection()
        elif not self.status:
            data = self._read_head(data)
        if data:
            self._count(self._dechunk(data) if self._chunked else self._measure(data), now_us)
        return self.is_over

    def _read_head(self, data: bytes) -> bytes:
        """Take the response's head and return what of the body came with it."""
        head, found, body = (self._raw + data).partition(b"\r\n\r\n")
        self._raw = b"" if found else head
        if not found:
            return b""
        lines = head.lower().split(b"\r\n")
        self.status = int(lines[0].split()[1])
        fields = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
        self._chunked = fields.get(b"transfer-encoding") == b"chunked"
        self._left = int(fields.get(b"content-length", -1))
        if self.status != 200:
            self.error = f"HTTP {self.status}"
        return body

    def _end_of_connection(self) -> None:
        self.is_over = True
        if self._chunked or self._left >= 0 or not self.status:
            self.error = self.error or ("cut off within its answer" if self.status else "hung up on without an answer")

    def _measure(self, data: bytes) -> bytes:
        if self._left >= 0:
            self._left -= len(data)
            self.is_over = self._left <= 0
        return data

    def _dechunk(self, data: bytes) -> bytes:
        if not self._raw:  # nearly always exactly one chunk, which then costs two slices
            line = data.find(b"\r\n", 0, 10)
            if line > 0 and len(data) == line + 4 + int(data[:line], 16) and data[0] != 48:
                return data[line + 2 : -2]
        data, at, parts = self._raw + data, 0, []
        while (line := data.find(b"\r\n", at)) >= 0:
            end = line + 2 + int(data[at:line], 16)
            if len(data) < end + 2:
                break
            parts.append(data[line + 2 : end])
            if end == line + 2:
                self.is_over = True
            at = end + 2
        self._raw = data[at:]
        return b"".join(parts)

    def _count(self, text: bytes, now_us: int) -> None:
        self.bytes += len(text)
        part = self._tail + text if self._tail else text
        cut = part.rfind(b"\n") + 1
        self._tail = part[cut:]
        if self._tail:
            part = part[:cut]
        self.events += part.count(self._event)
        tokens = TOKEN.findall(part)
        if tokens:
            self._note_tokens(tokens, now_us, part)
        for end in self._ends:
            if end in part:
                self._note_end(part, end)
        self.last_part = part

    def _note_tokens(self, tokens: list[tuple[bytes, bytes]], now_us: int, part: bytes) -> None:
        if not self.first_us:
            self.first_us = now_us
            received = RECEIVED.search(part)
            self.silent_us = int(tokens[0][1]) - int(received[1]) if received else 0
        append, expected = self.lags.append, self.tokens
        for place, sent_us in tokens:
            if int(place) != expected:
                self.disordered += 1
            expected += 1
            append(now_us - int(sent_us))
        self.tokens = expected
        self.last_us = now_us

    def _note_end(self, part: bytes, end: bytes) -> None:
        self.ends += part.count(end)
        reason = _REASON.search(part)
        self.reason = reason[1].decode() if reason else "stop"
        if b'"error"' in part:
            self.error = part[part.find(b'"error"') :][:200].decode(errors="replace")
