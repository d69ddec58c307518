"""HTTP clients for tests: a stream read event by event with arrival times, and one-line JSON requests.

They see every framing error, and leave in every way that a browser can.
"""

from __future__ import annotations

import http.client
import io
import json as jsonlib
import socket
import struct
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.support.body import BodyReader
from tests.support.sse import Event, SseReader
from tests.support.tools import DEADLINE_S


class Reply(NamedTuple):
    """An answer read to its end; `json` is the text where the body is no JSON, None where it is empty."""

    status: int
    headers: http.client.HTTPMessage
    json: Any


def call(method: str, base_url: str, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send one request on a connection of its own; `json` may be bytes, which are sent as they are.

    Shape: base_url is "http://…", or "unix:" and a path.
    """
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=DEADLINE_S)
    if url.scheme == "unix":
        connection = UnixConnection(url.path, timeout=DEADLINE_S)
        url = urlsplit("http://localhost")
    try:
        body = _encoded(json)
        fields = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, url.path.rstrip("/") + path, body, {**fields, **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, response.headers, _decoded(response.read()))
    finally:
        connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._socket_path = socket_path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)


def get(base_url: str, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """GET; see `call`."""
    return call("GET", base_url, path, json, headers)


def post(base_url: str, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """POST; see `call`."""
    return call("POST", base_url, path, json, headers)


def delete(base_url: str, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """DELETE; see `call`."""
    return call("DELETE", base_url, path, json, headers)


class StreamClient:
    """One streaming request, sent by the constructor; a context manager that closes it.

    Shape: headers are read when first asked for or with the first event, because they may be long in coming.
    Units: `sent_at` and `Event.at` are `time.monotonic()`; time-outs are seconds for the whole call.
    Threads: one, but `close`, `reset` and `shutdown_write` may come from any.
    Errors: AssertionError for broken framing, TimeoutError when nothing (more) comes in time.
    """

    def __init__(
        self,
        base_url: str,
        json: Any = None,
        *,
        path: str = "/api/chat",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        url = urlsplit(base_url)
        self.events: list[Event] = []
        """Every event read so far."""
        self.was_closed = False
        """True once the server has ended the connection, by FIN or reset."""
        self.was_reset = False
        self._method = method
        self._body: BodyReader | None = None
        self._reader = SseReader()
        self._pending: list[Event] = []
        self._received = bytearray()
        self._unread = bytearray()
        self._head_data = b""
        self._status = 0
        self._headers = http.client.HTTPMessage()
        if url.scheme == "unix":
            self.sock = _connected(url.path, receive_buffer_bytes)
            url = urlsplit("http://localhost")
        else:
            self.sock = _connected((url.hostname or "", url.port or 80), receive_buffer_bytes)
        self.sock.sendall(_request(method, url.netloc, url.path.rstrip("/") + path, json, headers or {}))
        self.sent_at = time.monotonic()

    def __enter__(self) -> StreamClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def status(self) -> int:
        """The HTTP status."""
        self.read_headers()
        return self._status

    @property
    def headers(self) -> http.client.HTTPMessage:
        """The response's headers."""
        self.read_headers()
        return self._headers

    @property
    def complete(self) -> bool:
        """True where the body came to its proper end: terminating chunk, or its whole length. A bare close is none."""
        return self._body is not None and self._body.is_complete

    @property
    def received(self) -> bytes:
        """The body so far, without chunk framing."""
        return bytes(self._received)

    @property
    def chunks(self) -> list[bytes]:
        """The chunks of the body as they were framed; one event is one of them when it was written in one piece."""
        return [] if self._body is None else self._body.chunks

    def read_headers(self, timeout: float = DEADLINE_S) -> None:
        """Wait for the response's head; does nothing when it is here.

        Errors: ConnectionError when the server closes instead.
        """
        ends_at = time.monotonic() + timeout
        while self._body is None:
            data = self._receive(ends_at)
            if not data:
                raise ConnectionError(f"closed within the head: {self._head_data!r}")
            self._head_data += data
            head, found, rest = self._head_data.partition(b"\r\n\r\n")
            if found:
                self._take_head(head)
                self._take_body(rest)

    def read_event(self, timeout: float = DEADLINE_S) -> Event | None:
        """Wait for the next event; None when the stream has ended, properly or not (see `complete`)."""
        ends_at = time.monotonic() + timeout
        self.read_headers(timeout)
        while not self._pending:
            self._pending += self._reader.feed(self._take_unread(), time.monotonic())
            if not self._pending and not self._read_more(ends_at):
                assert not (self.complete and self._reader.rest), f"the body ends in an event: {self._reader.rest!r}"
                return None
        event = self._pending.pop(0)
        self.events.append(event)
        return event

    def read_until(self, predicate: Callable[[Event], bool], timeout: float = DEADLINE_S) -> list[Event]:
        """Read up to and with the first event for which the predicate holds.

        Errors: AssertionError when the stream ends without one.
        """
        ends_at = time.monotonic() + timeout
        events: list[Event] = []
        while not events or not predicate(events[-1]):
            event = self.read_event(max(0.0, ends_at - time.monotonic()))
            assert event is not None, f"the stream ended before the event that was waited for: {self.events}"
            events.append(event)
        return events

    def read_text(self, text: str, timeout: float = DEADLINE_S) -> list[Event]:
        """Read until the text of the answer contains this."""
        return self.read_until(lambda _: text in "".join(event.text for event in self.events), timeout)

    def read_all(self, timeout: float = DEADLINE_S) -> list[Event]:
        """Read to the end of the stream and return the events not read before; judge it with `sse.check`."""
        ends_at = time.monotonic() + timeout
        events: list[Event] = []
        while (event := self.read_event(max(0.0, ends_at - time.monotonic()))) is not None:
            events.append(event)
        return events

    def read_body(self, timeout: float = DEADLINE_S) -> bytes:
        """Read to the end and return the whole body, for answers that are not our event streams."""
        ends_at = time.monotonic() + timeout
        self.read_headers(timeout)
        while self._read_more(ends_at):
            pass
        return self.received

    def read_line(self, timeout: float = DEADLINE_S) -> bytes:
        """Read the next LF-ended line of a body that is not an event stream; what is left at its end, then b""."""
        ends_at = time.monotonic() + timeout
        self.read_headers(timeout)
        while b"\n" not in self._unread and self._read_more(ends_at):
            pass
        line, newline, rest = self._take_unread().partition(b"\n")
        self._unread += rest
        return line + newline

    def close(self) -> None:
        """Leave as a closed tab does: FIN, and what still comes is answered with a reset."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the server was faster
            pass
        self.sock.close()

    def reset(self) -> None:
        """Leave with a reset, as a killed client may."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def shutdown_write(self) -> None:
        """Half-close: FIN, but go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def _take_head(self, head: bytes) -> None:
        line, _, fields = head.partition(b"\r\n")
        version, status, *_ = line.decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1", f"an odd status line: {line!r}"
        self._status = int(status)
        self._headers = http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
        self._body = BodyReader(self._headers, has_body=self._method != "HEAD" and self._status not in (204, 304))

    def _take_body(self, data: bytes) -> None:
        assert self._body is not None
        payload = self._body.feed(data)
        self._received += payload
        self._unread += payload

    def _take_unread(self) -> bytes:
        data = bytes(self._unread)
        self._unread.clear()
        return data

    def _read_more(self, ends_at: float) -> bool:
        """Take what comes next of the body; False when nothing can come any more."""
        if self.complete or self.was_closed:
            return False
        self._take_body(self._receive(ends_at))
        return True

    def _receive(self, ends_at: float) -> bytes:
        try:
            self.sock.settimeout(max(0.001, ends_at - time.monotonic()))
            data = self.sock.recv(65536)
        except TimeoutError:
            raise TimeoutError(f"nothing more came in time; events so far: {self.events}") from None
        except ConnectionResetError:
            self.was_reset = True
            data = b""
        self.was_closed = not data
        return data


def _connected(address: str | tuple[str, int], receive_buffer_bytes: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    if receive_buffer_bytes is not None:  # counts only when it is set before the connection is made
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.settimeout(DEADLINE_S)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _request(method: str, host: str, path: str, json: Any, headers: Mapping[str, str]) -> bytes:
    body = _encoded(json)
    fields = {"Host": host}
    if body is not None:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**fields, **headers}.items())]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + (body or b"")


def _encoded(json: Any) -> bytes | None:
    if json is None or isinstance(json, bytes):
        return json
    return jsonlib.dumps(json).encode()


def _decoded(body: bytes) -> Any:
    try:
        return jsonlib.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
