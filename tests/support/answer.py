"""One HTTP response of the scripted Ollama, written step by step; the steps of `script` play on it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from tests.support.connection import TICK_S, Connection
from tests.support.record import Request
from tests.support.tools import DEADLINE_S

CREATED_AT = "2025-01-01T00:00:00.000000000Z"


class Answer:
    """The response to one request: head, body in its framing, and its end.

    Shape: nothing leaves before the first body bytes unless `start` is called; then head and bytes leave separately.
    Errors: every method that waits or writes raises ConnectionOverError once the client has gone or the server stops.
    """

    def __init__(self, connection: Connection, request: Request) -> None:
        self.request = request
        self.is_started = False
        self.is_ended = False
        self.frame_count = 0
        self._connection = connection
        self._is_chunked = False
        self._length_left: int | None = None
        self._closes = request.headers.get("Connection", "").lower() == "close" or request.http_version == "HTTP/1.0"

    @property
    def is_kept(self) -> bool:
        """True where the answer came to an end that leaves the connection open for another request."""
        return self.is_ended and not self._closes and not self._connection.over.is_set()

    @property
    def is_over(self) -> bool:
        """True where the client has gone or the server stops."""
        return self._connection.over.is_set()

    def start(
        self,
        status: int = 200,
        *,
        content_length: int | None = None,
        until_close: bool = False,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Send the head now; the body is chunked unless it has a length or lasts until the close."""
        fields = {"Content-Type": "application/x-ndjson", "Date": "Wed, 01 Jan 2025 00:00:00 GMT"}
        self._is_chunked = content_length is None and not until_close
        self._length_left = content_length
        if content_length is not None:
            fields["Content-Length"] = str(content_length)
        elif until_close:
            fields["Connection"] = "close"
            self._closes = True
        else:
            fields["Transfer-Encoding"] = "chunked"
        self.is_started = True
        self._connection.send(_head(status, {**fields, **(extra or {})}))

    def write(self, payload: bytes) -> None:
        """Send payload bytes, as one chunk where the body is chunked."""
        if self.is_ended:
            raise AssertionError(f"the script goes on after its end: {payload!r}")
        if not self.is_started:
            self.start()
        if not payload:
            return
        self.request.sent += payload
        try:
            self._connection.send(b"%x\r\n%b\r\n" % (len(payload), payload) if self._is_chunked else payload)
        except BaseException:
            del self.request.sent[-len(payload) :]
            raise
        if self._length_left is not None:
            self._length_left -= len(payload)
            self.is_ended = self._length_left <= 0

    def write_raw(self, data: bytes) -> None:
        """Send bytes as they are: no head is sent for them, no chunk is made of them."""
        self.is_started = True
        self._connection.send(data)

    def end(self) -> None:
        """End the body properly, once: the terminating chunk, or the close where the body lasts until then."""
        if self.is_ended:
            return
        if not self.is_started:
            self.start()
        if self._is_chunked:
            self._connection.send(b"0\r\n\r\n")
        self.is_ended = True
        if self._closes:
            self._connection.close()

    def keep(self) -> None:
        """Take the answer as whole, as it was written with `write_raw`."""
        self.is_ended = True

    def drop(self) -> None:
        """Close the connection as it is."""
        self._connection.close()
        self.is_ended = True

    def reset(self) -> None:
        """Reset the connection."""
        self._connection.reset()
        self.is_ended = True

    def whole(self, status: int, body: bytes, content_type: str) -> None:
        """Send a whole response with its length; a HEAD request gets the head alone."""
        fields = {"Content-Length": str(len(body))}
        if body:
            fields = {"Content-Type": content_type, **fields}
        if self._closes:
            fields["Connection"] = "close"
        self.is_started = True
        self._connection.send(_head(status, fields) + (b"" if self.request.method == "HEAD" else body))
        self.is_ended = True

    def wait(self, event: threading.Event) -> None:
        """Wait for a test's event.

        Errors: ConnectionOverError as soon as the client closes, AssertionError at the deadline.
        """
        ends_at = time.monotonic() + DEADLINE_S
        while not event.wait(TICK_S):
            self._connection.check()
            if time.monotonic() > ends_at:
                raise AssertionError(f"the event that the script waits for was not set within {DEADLINE_S:g} s")
        self._connection.check()

    def pause_until(self, moment: float) -> None:
        """Wait until a moment of `time.monotonic()`, or for ConnectionOverError."""
        self._connection.over.wait(max(0.0, moment - time.monotonic()))
        self._connection.check()

    def hang(self) -> None:
        """Wait for the client to close.

        Errors: AssertionError when it does not within the deadline.
        """
        if not self._connection.over.wait(DEADLINE_S):
            raise AssertionError(f"the client did not close a hanging answer within {DEADLINE_S:g} s")
        self._connection.check()


def encode_frame(frame: Mapping[str, Any], model: str) -> bytes:
    """Encode one frame as Ollama (Go's encoding/json) does: compact, non-ASCII as it is, `<>&` and U+2028/9 escaped.

    Shape: a frame with a `model` of "" gets this model; others leave as they are. LF-ended.
    """
    if frame.get("model") == "":
        frame = {**frame, "model": model}
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + b"\n"


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {fields[name]}" for name in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
