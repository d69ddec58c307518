"""HTTP to Ollama: the only user of requests. Opens a chat, can abort it in every phase, asks small questions.

Ollama sends no byte, not even headers, before the first frame: minutes while it loads a model. So an Exchange is
opened on a helper thread, and its socket is captured the moment it is connected (a urllib3 connection class, mounted
through a requests adapter), because a `shutdown` of the socket frees the opener in any phase, while `Response.close`
from another thread blocks until the read time-out. Once open, the pump reads the socket itself, without blocking.
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
from functools import partial
from typing import Any

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from clawgate.errors import (
    ClawgateError,
    InternalError,
    ModelNotFound,
    UpstreamError,
    UpstreamFailure,
    UpstreamUnreachable,
)
from clawgate.ollama.body import Body, ChunkedBody, MalformedBody, OpenBody, SizedBody

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
TEMPLATE_TIMEOUT_S = 5.0
MIN_OPEN_S = 0.04
"""A real Ollama leaks a connection (and its slot) that is closed within 30 ms of its request: close no earlier."""
RECV_BYTES = 1 << 16
MAX_READ_BYTES = 1 << 20
MAX_ERROR_BYTES = 1 << 16
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no JSON, the last for one nested too deeply."""
HEADERS = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity", "Content-Type": "application/json"}

_opening = threading.local()
"""Which Exchange this helper thread is opening: how a connection that urllib3 makes finds its Exchange."""


class Aborted(Exception):
    """The exchange was closed while it was being opened."""


class OpenFailure(Exception):
    """Ollama did not begin to answer. `error` is what a client is told, `is_retryable` whether waiting may help."""

    def __init__(self, error: ClawgateError, is_retryable: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.is_retryable = is_retryable


class CannotContinue(OpenFailure):
    """The model's template closes the assistant's last turn, so that a partial answer cannot be gone on with."""

    def __init__(self) -> None:
        super().__init__(UpstreamError("the model's template cannot continue an answer"), is_retryable=False)


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
        self._active_at = 0.0
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
        _opening.exchange = self
        try:
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
            _opening.exchange = None
            tell()

    def _open(self) -> None:
        response = self._post()
        try:
            if response.status_code != 200:
                raise _failure_of(response)
            self._take_over(response)
        except BaseException:
            response.raw.close()
            raise

    def _post(self) -> requests.Response:
        with self._lock:
            if self._is_closing:
                raise Aborted
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
                UpstreamUnreachable(f"Ollama {_reason_of(error)}"),
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
        """Capture the socket; called by the connection class, again when its request has been sent.

        Errors: Aborted, where the exchange was closed before the socket existed.
        """
        with self._lock:
            if self._is_closing and self._socket is None:
                raise Aborted
            self._socket = sock
            self._active_at = time.monotonic()

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

        Units: waits until 40 ms have passed since the request was sent, else for nothing.
        """
        with self._lock:
            self._is_closing = True
        with self._shutting:
            while self._socket is not None and not self._is_done:
                left_s = self._active_at + MIN_OPEN_S - time.monotonic()
                if left_s <= 0:
                    break
                time.sleep(left_s)
            with self._lock:
                if self._socket is not None:
                    _shut_down(self._socket)

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


class OllamaClient:
    """Makes exchanges with one Ollama, and asks it small questions.

    Its own Host goes out and no Origin: Ollama on loopback answers 403 to foreign ones. Nothing of the environment
    (proxies, .netrc) is used, no redirect followed, no connection used again after a chat.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._chats = _session(_CapturingAdapter())
        self._questions = _session(HTTPAdapter())
        self._answered_at: dict[str, float] = {}
        self._questions.headers["Connection"] = "close"  # rare: no idle socket is worth keeping

    def chat(self, request: dict[str, Any], is_going_on: bool = False, request_id: str = "") -> Exchange:
        """Prepare an exchange; nothing is sent before it is opened.

        is_going_on: its last message is a partial answer; the model's template is asked first whether it can.
        request_id: goes along, for the log of a proxy before Ollama.
        """
        check = partial(self._check_template, request["model"]) if is_going_on else None
        return Exchange(self._chats, f"{self.endpoint}/api/chat", msgspec.json.encode(request), check, request_id)

    def note_answer(self, model: str, now: float) -> None:
        """Note that a frame of a model's has come, whoever asked."""
        self._answered_at[model] = now

    def has_answered_since(self, model: str, moment: float) -> bool:
        """Tell whether a model has said anything to anybody since then."""
        return self._answered_at.get(model, -math.inf) >= moment

    def _check_template(self, model: str) -> None:
        try:
            shown = self.ask("/api/show", TEMPLATE_TIMEOUT_S, json={"model": model})
        except UpstreamFailure:
            return  # the chat itself will say what is wrong, or go well
        if isinstance(shown, dict) and not can_continue(str(shown.get("template", ""))):
            raise CannotContinue

    def ask(self, path: str, timeout_s: float, json: Any = None) -> Any:
        """GET (with json: POST) a small JSON document.

        Units: timeout_s bounds connecting and each read.
        Errors: UpstreamUnreachable; UpstreamError for another status than 200 or a body that is not JSON.
        """
        method = "GET" if json is None else "POST"
        try:
            response = self._questions.request(
                method, f"{self.endpoint}{path}", json=json, timeout=timeout_s, allow_redirects=False
            )
        except (requests.RequestException, OSError) as error:
            raise UpstreamUnreachable(f"Ollama {_reason_of(error)}") from error
        if response.status_code != 200:
            raise UpstreamError(f"Ollama answered {path} with status {response.status_code}")
        try:
            return msgspec.json.decode(response.content)
        except UNREADABLE as error:
            raise UpstreamError(f"what answers {path} is not Ollama") from error


def can_continue(template: str) -> bool:
    """Tell whether a model's template leaves the assistant's last turn open.

    To do so it must know which message is the last, and Go's only way to know is `len`; one that walks `.Messages`
    without it closes every turn alike. Where there is no `.Messages`, Ollama itself cuts the template at `.Response`.
    Source: Ollama docs/template.md; template/template.go, Execute.
    """
    return ".Messages" not in template or re.search(r"\blen\b", template) is not None


def _session(adapter: HTTPAdapter) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["User-Agent"] = "clawgate"
    return session


class _CapturingHTTPConnection(HTTPConnection):
    """Hands its socket to the Exchange that is being opened on this thread."""

    def connect(self) -> None:
        super().connect()
        _hand_over(self.sock)

    def getresponse(self) -> Any:
        _hand_over(self.sock)
        return super().getresponse()


class _CapturingHTTPSConnection(_CapturingHTTPConnection, HTTPSConnection):
    """The same over TLS: `super()` there is HTTPSConnection here."""


def _hand_over(sock: socket.socket | None) -> None:
    if sock is not None:
        _opening.exchange.on_connected(sock)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _CapturingHTTPConnection

    def _put_conn(self, conn: Any) -> None:
        """Close instead of keeping: an error's body that was read to its end would leave an idle socket."""
        if conn is not None:
            conn.close()


class _HTTPSPool(_HTTPPool, HTTPSConnectionPool):
    ConnectionCls = _CapturingHTTPSConnection


class _CapturingAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


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


def _shut_down(sock: socket.socket) -> None:
    try:
        # not SSLSocket.shutdown, which takes the TLS state away under the reader's hands
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # the other side was faster


def _failure_of(response: requests.Response) -> OpenFailure:
    """Read what Ollama says of a request that it does not answer."""
    status = response.status_code
    try:
        text = response.raw.read(MAX_ERROR_BYTES)
    except Exception as error:  # noqa: BLE001 - urllib3 raises its own kinds; the status alone must do then
        log.debug("the body of Ollama's status %d could not be read: %s", status, error)
        text = b""
    words = _words_of(text)
    if status == 404 and "not found" in words and "model" in words:
        return OpenFailure(ModelNotFound(words), is_retryable=False)
    if status == 403 and not words:
        words = "it refuses the Host of model.endpoint: use 127.0.0.1 or localhost there, or set OLLAMA_HOST"
    message = f"Ollama answered with status {status}" + (f": {words}" if words else "")
    return OpenFailure(UpstreamError(message), is_retryable=status in (502, 503))


def _words_of(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"])
    except (*UNREADABLE, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()[:500]


def _reason_of(error: Exception) -> str:
    """Say in a few words why a connection failed; the libraries' own texts carry object addresses."""
    if isinstance(error, requests.ConnectTimeout):
        return f"did not accept the connection within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, requests.Timeout):
        return "did not answer in time"
    text = repr(error)
    for mark, words in (
        ("NameResolution", "has a name that cannot be resolved"),
        ("refused", "refused the connection"),
        ("Too many open files", "cannot be asked: the gateway has no file descriptor left"),
        ("SSLError", "has a TLS certificate that is not accepted"),
    ):
        if mark in text:
            return words
    return "dropped the connection"


__all__ = ["Aborted", "Exchange", "MalformedBody", "OllamaClient", "OpenFailure"]
