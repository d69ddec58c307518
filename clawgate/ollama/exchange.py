"""One `POST /api/chat` and its answer.

Ollama sends no byte, not even headers, before the first frame: minutes while it loads a model. So an Exchange sends its
request and keeps the socket (capture.py); the pump polls it and reads it without blocking, from the first byte of the
head on. Connecting and sending need a helper thread only where they may block. A `shutdown` of the socket ends every
phase at once, from any thread.

A real Ollama leaks a connection, and its file descriptor for good, that is cut before the scheduler has handed out a
runner, which takes the model's `load_duration`. So a request that Ollama can have read stays open for that long
(observations.py knows the time), counted from its last byte. One that is not whole is cut at once: Ollama fails to
decode it, and leaks nothing. So is one whose answer has begun: the head comes with the first frame or with a refusal.
"""

from __future__ import annotations

import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping

import requests

from clawgate.errors import InternalError
from clawgate.ollama.body import Body, MalformedBody, OpenBody
from clawgate.ollama.capture import RequestSent, WouldBlock, captured_by
from clawgate.ollama.connecting import not_http, not_reached
from clawgate.ollama.failures import OpenFailure
from clawgate.ollama.head import MalformedHead, read_head
from clawgate.ollama.recognition import is_page
from clawgate.sockets import shut_down

log = logging.getLogger(__name__)

OK = 200
RECV_BYTES = 1 << 16
MAX_READ_BYTES = 1 << 20
MAX_ERROR_BYTES = 1 << 16
REFUSAL_S = 2.0
"""The words of a refusal come with its head; behind a proxy they may have no end."""


class Aborted(Exception):
    """The exchange was closed while it was being opened."""


class Exchange:
    """One `POST /api/chat` and its answer: started, read and released by the pump, closed by anybody.

    post: sends a body through requests.
    refusal_of: makes the failure of a response that is no answer: its status, header and body.
    is_quick: connecting and sending do not block, so that they need no helper thread.
    check: is called first, on a helper thread.
    floor_s: a whole request stays open for so long where nothing of the answer has come.
    on_given_up: called when it is cut before anything of the answer has come; it must not wait.

    Threads: `_lock` guards the socket, the response and the flags. `close` may be called from any thread, everything
    else only from the pump's.
    """

    def __init__(
        self,
        post: Callable[[bytes], requests.Response],
        body: bytes,
        refusal_of: Callable[[int, Mapping[str, str], bytes], OpenFailure],
        *,
        is_quick: bool = False,
        check: Callable[[], None] | None = None,
        floor_s: float = 0.0,
        on_given_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._post = post
        self._body = body
        self._refusal_of = refusal_of
        self._is_quick = is_quick and check is None
        self._check = check
        self._floor_s = floor_s
        self._on_given_up = on_given_up
        self._lock = threading.Lock()
        self._is_closing = False
        self._is_released = False
        self._is_shut = False
        self._is_checked = False
        self._is_sent = False
        self._socket: socket.socket | None = None
        self._whole_at = -math.inf
        self._response: requests.Response | None = None
        self._status: int | None = None
        self._fields: Mapping[str, str] = {}
        self._cut_by: OSError | None = None
        self._ahead = b""
        self._refusal = b""
        self.refused_by = math.inf
        """The moment at which a refusal is taken as it is: `advance` then, whether more has come or not."""
        self._framing: Body = OpenBody()
        self.failure: OpenFailure | None = None
        self.is_open = False
        self.is_at_end = False
        self.cut_at: float | None = None
        """The moment, on the monotonic clock, at which `close` ended the connection."""

    # --- sending: the pump, or a helper thread --------------------------------------------------------------------

    def start(self, wake: Callable[[], None]) -> None:
        """Send the request; where that may block, a helper thread sends it, and calls `wake` when it is done."""
        if not (self._is_quick and self._send(is_at_once=True)):
            threading.Thread(target=self._send_and_wake, args=(wake,), name="open-upstream", daemon=True).start()

    def _send_and_wake(self, wake: Callable[[], None]) -> None:
        try:
            self._send()
        finally:
            wake()

    def _send(self, *, is_at_once: bool = False) -> bool:
        """Send the request, or keep the reason why not; False where it cannot be done at once, and has to be."""
        try:
            if self._check is not None:
                with captured_by(self):
                    self._check()
            self._forget_socket()
            with captured_by(self, is_until_sent=True, is_at_once=is_at_once):
                self._take_response(self._post(self._body))
        except RequestSent:
            self._take_socket()
        except WouldBlock:
            return False
        except Aborted:
            pass
        except OpenFailure as failure:
            self.failure = failure
        except (requests.RequestException, OSError) as error:
            self._fail(not_reached(error))
        except Exception:  # nobody else catches it on a helper thread
            log.exception("opening the connection to Ollama failed")
            self.failure = OpenFailure(InternalError(), is_retryable=False)
        self._body = b""
        return True

    def _forget_socket(self) -> None:
        """Forget the check's, which is over."""
        with self._lock:
            if self._is_closing:
                raise Aborted
            self._socket, self._whole_at, self._is_checked = None, -math.inf, True

    def _take_socket(self) -> None:
        """Keep the socket, as one that never blocks: the request is out."""
        with self._lock:
            assert self._socket is not None
            if self._socket.gettimeout() != 0:
                self._socket.setblocking(False)
            self._is_sent = True
            self._whole_at = time.monotonic()  # a busy machine may have let this thread wait since `on_last_byte`
            self._give_back()

    def _take_response(self, response: requests.Response) -> None:
        """Keep a response that has no socket, as a mocked one: reads block."""
        with self._lock:
            self._response = response
            if self._is_closing:
                raise Aborted
        self._begin(response.status_code, {name.lower(): value for name, value in response.headers.items()})
        while not self.is_open and self.failure is None:
            self._read_refusal()

    def _fail(self, failure: OpenFailure) -> None:
        if not self._is_closing:  # else it is our own close that reads as one
            self.failure = failure

    def on_connected(self, sock: socket.socket) -> None:
        """Capture the socket; called by the connection class.

        Errors: Aborted, where the exchange was closed meanwhile.
        """
        with self._lock:
            if self._is_closing:
                raise Aborted
            self._socket = sock

    def on_last_byte(self) -> None:
        """Note that Ollama can have read the request from now on.

        Errors: Aborted, where the exchange was closed meanwhile; then the request never becomes whole.
        """
        with self._lock:
            if self._is_closing:
                raise Aborted
            if self._is_checked:  # the check's own request needs no runner
                self._whole_at = time.monotonic()

    # --- reading: the pump ----------------------------------------------------------------------------------------

    def fileno(self) -> int | None:
        """Return the socket to poll; None where there is none: not yet, or for good (a mocked response)."""
        return self._socket.fileno() if self._is_sent and self._socket is not None else None

    def advance(self) -> None:
        """Take what has come of the answer's beginning: at some time it `is_open`, or has its `failure`."""
        if self._is_sent and self._status is None:
            self._read_head()
        if self._status is not None and not self.is_open and self.failure is None:
            self._read_refusal()

    def _read_head(self) -> None:
        assert self._socket is not None
        self._ahead += self._receive(self._socket)
        try:
            head = read_head(self._ahead)
        except MalformedHead:
            self._fail(not_http())
            return
        if head is not None:
            self._framing, self._ahead = head.framing, head.rest
            self._begin(head.status, head.fields)
        elif self.is_at_end:
            self._fail(not_reached(self._cut_by))

    def _begin(self, status: int, fields: Mapping[str, str]) -> None:
        self._status, self._fields = status, fields
        self.is_open = status == OK and not is_page(fields)
        if not self.is_open:
            self.refused_by = time.monotonic() + REFUSAL_S

    def _read_refusal(self) -> None:
        """Take what has come of the words of an Ollama that does not answer."""
        assert self._status is not None
        try:
            self._refusal += self.read()
        except MalformedBody as error:
            self._refusal += error.payload
            self.is_at_end = True
        is_late = time.monotonic() >= self.refused_by
        if self.is_at_end or is_late or len(self._refusal) >= MAX_ERROR_BYTES:
            self._fail(self._refusal_of(self._status, self._fields, self._refusal[:MAX_ERROR_BYTES]))

    def read(self) -> bytes:
        """Return the payload that has come in, b"" when there is none now; at the end set `is_at_end`.

        Errors: MalformedBody.
        """
        if self._socket is None:
            return self._read_blocking()
        data, self._ahead = self._ahead or self._receive(self._socket), b""
        payload = self._framing.feed(data) if data else b""
        if self._framing.is_whole:
            self.is_at_end = True
        return payload

    def _receive(self, sock: socket.socket) -> bytes:
        """Take what the kernel holds, in one call as a rule."""
        pieces: list[bytes] = []
        taken = 0
        while taken < MAX_READ_BYTES:
            try:
                piece = sock.recv(RECV_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError as error:
                self._cut_by, piece = error, b""
            if not piece:
                self.is_at_end = True
                break
            pieces.append(piece)
            taken += len(piece)
            if len(piece) < RECV_BYTES and not isinstance(sock, ssl.SSLSocket):  # TLS: a record a call
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_blocking(self) -> bytes:
        assert self._response is not None
        payload: bytes = self._response.raw.read(RECV_BYTES)
        self.is_at_end = not payload
        return self._framing.feed(payload)

    @property
    def is_whole(self) -> bool:
        """True when the body properly ended; an unframed body that has begun ends properly with its connection."""
        framing = self._framing
        return framing.is_whole or (self.is_at_end and isinstance(framing, OpenBody) and framing.has_begun)

    # --- closing: anybody -----------------------------------------------------------------------------------------

    def close(self) -> float | None:
        """End the connection, from any thread and in any phase; again is harmless.

        Nothing is waited for: where it is too early, return the moment from which it is not; `close` ends it then.

        Units: on the monotonic clock.
        """
        with self._lock:
            self._is_closing = True
            may_end_at = self._whole_at + self._floor_s
            if self._is_unanswered and not self._is_shut and time.monotonic() < may_end_at:
                return may_end_at
            self._cut()
        return None

    def release(self) -> float | None:
        """Close, and give the socket's fd back with that; the pump's last act, since nobody else polls it."""
        with self._lock:
            self._is_released = True
            response, self._response = self._response, None
        if response is not None:
            response.raw.close()
        return self.close()

    @property
    def _is_unanswered(self) -> bool:
        """True where Ollama can have read the request, and nothing of its answer, nor its end, is here."""
        return self._whole_at > -math.inf and self._status is None and not self.is_at_end

    def _cut(self) -> None:
        if self._socket is not None and not self._is_shut:
            if self._is_unanswered:
                self._on_given_up()
            self._is_shut = True
            shut_down(self._socket, socket.SHUT_RDWR)
        if self.cut_at is None:
            self.cut_at = time.monotonic()
        self._give_back()

    def _give_back(self) -> None:
        if self._is_released and self._is_shut and self._is_sent and self._socket is not None:
            self._socket.close()
