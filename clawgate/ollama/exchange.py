"""One `POST /api/chat` and its answer.

Ollama sends no byte, not even headers, before the first frame: minutes while it loads a model. So an Exchange is
opened on a helper thread, and its socket is captured the moment it is connected (capture.py), because a `shutdown` of
the socket frees the opener in any phase, while `Response.close` from another thread blocks until the read time-out.
Once open, the pump reads the socket itself, without blocking.
"""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable

import requests

from clawgate.errors import InternalError, UpstreamUnreachable
from clawgate.ollama.body import Body, ChunkedBody, OpenBody, SizedBody
from clawgate.ollama.capture import captured_by
from clawgate.ollama.failures import CONNECT_TIMEOUT_S, OpenFailure, failure_of, reason_of
from clawgate.sockets import shut_down

log = logging.getLogger(__name__)

MIN_OPEN_S = 0.04
"""A real Ollama leaks a connection (and its slot) that is closed within 30 ms of its request: close no earlier.

Counted from the request's last byte; what is left of the 40 ms is for reading what lies before it. A request that is
not whole is no matter: Ollama fails to decode it, so that one is cut at once, wherever it is.
"""
RECV_BYTES = 1 << 16
MAX_READ_BYTES = 1 << 20
HEADERS = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity", "Content-Type": "application/json"}


class Aborted(Exception):
    """The exchange was closed while it was being opened."""


class Exchange:
    """One `POST /api/chat` and its answer: opened on a helper thread, read by the pump, closed by anybody.

    Threads: `_lock` guards the captured socket, the response and the flags; `_shutting` makes every `close` wait for
    the first. `close` may be called from any thread; `read` and `release` only from the pump's.
    """

    def __init__(
        self,
        session: requests.Session,
        url: str,
        body: bytes,
        check: Callable[[], None] | None = None,
        request_id: str = "",
    ) -> None:
        self._check = check
        self._session = session
        self._url = url
        self._body = body
        self._headers = {**HEADERS, "X-Request-Id": request_id} if request_id else HEADERS
        self._lock = threading.Lock()
        self._is_closing = False
        self._is_released = False
        self._is_done = False
        self._socket: socket.socket | None = None
        self._whole_at = -math.inf
        self._shutting = threading.Lock()
        self._response: requests.Response | None = None
        self._ahead = b""
        self._framing: Body = OpenBody()
        self.failure: OpenFailure | None = None
        self.is_open = False
        self.is_at_end = False

    # --- opening: the helper thread -------------------------------------------------------------------------------

    def start(self, tell: Callable[[], None]) -> None:
        """Open on a helper thread; `tell` is called there once the exchange is open or has its `failure`."""
        threading.Thread(target=self._open_and_tell, args=(tell,), name="open-upstream", daemon=True).start()

    def _open_and_tell(self, tell: Callable[[], None]) -> None:
        try:
            with captured_by(self):
                if self._check is not None:
                    self._check()
                self._open()
        except Aborted:
            pass
        except OpenFailure as failure:
            self.failure = failure
        except Exception:  # a helper thread has nobody else to tell
            log.exception("opening the connection to Ollama failed")
            self.failure = OpenFailure(InternalError(), is_retryable=False)
        finally:
            tell()

    def _open(self) -> None:
        response = self._post()
        try:
            if response.status_code != 200:
                raise failure_of(response)
            self._take_over(response)
        except BaseException:
            if self._is_closing:
                self.close()  # waits as long as the first close does: an answer has come, but perhaps too soon
            response.raw.close()
            raise

    def _post(self) -> requests.Response:
        with self._lock:
            if self._is_closing:
                raise Aborted
            self._socket, self._whole_at = None, -math.inf  # the check's, which is over
        try:
            return self._session.post(
                self._url,
                data=self._body,
                headers=self._headers,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT_S, None),
            )
        except (requests.RequestException, OSError) as error:
            if self._is_closing:
                raise Aborted from error
            raise OpenFailure(
                UpstreamUnreachable(f"Ollama {reason_of(error)}"),
                is_retryable=True,
            ) from error

    def _take_over(self, response: requests.Response) -> None:
        """Keep the socket, as one that never blocks, and let go of all that the libraries built around it.

        Their buffers and objects would be some 20 KB a stream. A TLS socket cannot leave its connection, and a mocked
        response has none: these are kept whole.
        """
        with self._lock:
            if self._is_released or self._is_closing:
                raise Aborted
            self._body = b""
            if self._socket is not None:
                self._framing = _framing_of(response)
                self._socket.setblocking(False)
                self._ahead = _read_ahead(response)
            if self._socket is None or isinstance(self._socket, ssl.SSLSocket):
                self._response = response
            else:
                self._socket = _detached(self._socket)
                response.raw.close()
        self.is_open = True

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
            self._whole_at = time.monotonic()

    # --- reading: the pump ----------------------------------------------------------------------------------------

    def fileno(self) -> int | None:
        """Return the socket to poll; None where there is none (a mocked response), and reads block."""
        return self._socket.fileno() if self._socket is not None else None

    def read(self) -> bytes:
        """Return the payload that has come in, b"" when there is none now; at the end set `is_at_end`.

        Errors: MalformedBody.
        """
        if self._socket is None:
            return self._read_blocking()
        data = self._receive(self._socket)
        if self._ahead:
            data, self._ahead = self._ahead + data, b""
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
            except OSError:
                piece = b""
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
        """True when the body properly ended; at the end of an unframed one that has begun nothing speaks against it."""
        framing = self._framing
        return framing.is_whole or (self.is_at_end and isinstance(framing, OpenBody) and framing.has_begun)

    # --- closing: anybody -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Note that the answer is complete: nothing is left that closing early could leak."""
        self._is_done = True

    def close(self) -> None:
        """End the connection and return once that is done, from any thread and in any phase; again is harmless.

        Units: waits until 40 ms have passed since the request was whole, else for nothing.
        """
        with self._lock:
            self._is_closing = True
        with self._shutting:
            left_s = self._whole_at + MIN_OPEN_S - time.monotonic()
            if left_s > 0 and not self._is_done:
                time.sleep(left_s)
            with self._lock:
                if self._socket is not None:
                    shut_down(self._socket, socket.SHUT_RDWR)

    def release(self) -> None:
        """Close and give the socket's fd back; the pump's last act, since nobody else polls it."""
        self.close()
        with self._lock:
            self._is_released = True
            response, self._response = self._response, None
        if response is not None:
            response.raw.close()
        elif self.is_open and self._socket is not None:
            self._socket.close()


def _framing_of(response: requests.Response) -> Body:
    headers = response.headers
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return ChunkedBody()
    length = headers.get("Content-Length", "")
    return SizedBody(int(length)) if re.fullmatch(r"[0-9]{1,18}", length) else OpenBody()


def _detached(sock: socket.socket) -> socket.socket:
    """Take a connected socket out of the object that the libraries know, as one that never blocks."""
    taken = socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    taken.setblocking(False)
    return taken


def _read_ahead(response: requests.Response) -> bytes:
    """Return what http.client's buffer took in together with the headers."""
    try:
        ahead: bytes = response.raw._fp.fp.peek()  # type: ignore[union-attr]
    except (OSError, AttributeError):  # nothing there (http.client lets go of fp), or reset: the next read sees the end
        return b""
    return ahead
