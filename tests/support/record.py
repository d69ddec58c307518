"""The requests to the scripted Ollama: one record each, readable by the test while the answer runs."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.support.connection import Connection

_HEAD_END = b"\r\n\r\n"


class Request:
    """One request as it came in, and what became of it.

    Units: times are `time.monotonic()` of this process.
    Threads: the serving thread writes, tests read. Bytes count as sent from just before they go to the kernel, so
    what a client has is never ahead of `text_sent`.
    """

    def __init__(self, connection: Connection, head: bytes, body: bytes) -> None:
        line, _, fields = head.partition(b"\r\n")
        self.method, target, self.http_version = line.decode("latin-1").split(" ")
        self.path = urlsplit(target).path
        self.query = urlsplit(target).query
        self.headers = http.client.parse_headers(io.BytesIO(fields + _HEAD_END))
        self.body = body
        self.json: Any = _json_or_none(body)
        self.arrived = time.monotonic()
        """The time at which the body was whole."""
        self.received_at = connection.received_at
        """The time at which its last byte had come to this machine's system."""
        self.connection = connection.number
        self.finished = threading.Event()
        """Set when the answer has been played to its end, whatever that end was."""
        self.closed = connection.over_by_client
        """Set when the client has closed the connection (seen within about a millisecond), unless we ended it first.

        A half-close counts: Ollama stops generating then, too.
        """
        self.sent = bytearray()
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} on connection {self.connection}: {self.json!r}>"

    @property
    def body_sent(self) -> bytes:
        """The payload sent so far, without chunk framing; what `raw` sends is not in it."""
        return bytes(self.sent)

    @property
    def closed_at(self) -> float | None:
        """The time at which the client's close was seen; None while it has not closed."""
        return self._connection.closed_at

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The `messages` of the body."""
        return list(self.json["messages"])

    @property
    def text_sent(self) -> str:
        """The content of every whole frame sent so far, wherever chunks were cut."""
        return "".join(message.get("content", "") for message in self._messages_sent())

    @property
    def thinking_sent(self) -> str:
        """The thinking of every whole frame sent so far."""
        return "".join(message.get("thinking", "") for message in self._messages_sent())

    def _messages_sent(self) -> Iterator[dict[str, Any]]:
        for line in self.body_sent.split(b"\n")[:-1]:
            frame = _json_or_none(line)
            if isinstance(frame, dict) and isinstance(frame.get("message"), dict):
                yield frame["message"]


def read_request(connection: Connection) -> Request | None:
    """Read the next request; None when the client closed instead, also in the middle of one.

    Errors: ValueError for a head that is not HTTP/1.1.
    """
    data = b""
    while _HEAD_END not in data:
        more = connection.receive()
        if not more:
            return None
        data += more
    head, _, rest = data.partition(_HEAD_END)
    fields = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2] + _HEAD_END))
    connection.unread(rest)
    if fields.get("Transfer-Encoding", "").lower() == "chunked":
        body = _read_chunked(connection)
    else:
        body = _read_exactly(connection, int(fields.get("Content-Length", "0")))
    return None if body is None else Request(connection, head, body)


def _read_chunked(connection: Connection) -> bytes | None:
    body = b""
    while True:
        size = _read_line(connection)
        if size is None:
            return None
        chunk = _read_exactly(connection, int(size.split(b";")[0], 16) + 2)
        if chunk is None:
            return None
        if chunk == b"\r\n":
            return body
        body += chunk[:-2]


def _read_line(connection: Connection) -> bytes | None:
    data = b""
    while b"\r\n" not in data:
        more = connection.receive()
        if not more:
            return None
        data += more
    line, _, rest = data.partition(b"\r\n")
    connection.unread(rest)
    return line


def _read_exactly(connection: Connection, count: int) -> bytes | None:
    data = bytearray()  # appended to in place: a body may be 16 MiB
    while len(data) < count:
        more = connection.receive()
        if not more:
            return None
        data += more
    connection.unread(bytes(data[count:]))
    return bytes(data[:count])


def _json_or_none(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
