"""Ollama as the rest of the gateway knows it: makes exchanges, asks small questions.

This and its neighbours capture.py, connecting.py, exchange.py and tls.py are the only users of requests.
"""

from __future__ import annotations

import re
import time
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError

from clawgate.addresses import is_loopback_address
from clawgate.config import ModelConfig
from clawgate.errors import UpstreamFailure
from clawgate.ollama.capture import SingleUseAdapter
from clawgate.ollama.connecting import is_cut_off, reason_of
from clawgate.ollama.exchange import Exchange
from clawgate.ollama.failures import AWAY, CONNECT_TIMEOUT_S, CannotContinue, refusal_of
from clawgate.ollama.finding import Finding, Unreached, Unusable
from clawgate.ollama.ndjson import UNREADABLE
from clawgate.ollama.observations import Observations
from clawgate.ollama.recognition import recognise
from clawgate.ollama.tls import trusting

TEMPLATE_TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 1 << 24
"""/api/show has the model's licence and template in it: some ten KB."""
MAX_CONTAINERS = 1 << 17
"""The most objects and lists of a document: 16 MiB of empty ones take 0.4 GB, and hold all threads up for seconds."""
BEGINNING_BYTES = 1 << 12
"""So much of another answer is looked at, to tell what answers."""
PIECE_BYTES = 1 << 16
AT_ONCE_BYTES = 1 << 15
"""A body that the system takes in whole, so that sending it does not block: half of what may be on its way."""
FAILURES = (requests.RequestException, HTTPError, OSError)
HEADERS = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity", "Content-Type": "application/json"}


class Fetched(NamedTuple):
    """A document as Ollama sent it: the HTTP status and the JSON."""

    status: int
    body: bytes


class OllamaClient:
    """Makes exchanges with one Ollama, and asks it small questions.

    Its own Host goes out and no Origin: Ollama on loopback answers 403 to foreign ones. Nothing of the environment
    (proxies, .netrc) is used, no redirect followed, no connection used twice, which each request announces.
    """

    def __init__(self, endpoint: str, ca_file: str | None = None, *, verify: bool = True, via: str = "") -> None:
        """Read the authorities that an https endpoint's certificate is held against; ask nothing yet.

        via: the name that this gateway has in each request's Via, by which it knows one that comes back to it.
        """
        self.endpoint = endpoint
        is_secure = urlsplit(endpoint).scheme == "https"
        self._session = _session(SingleUseAdapter(trusting(ca_file, verify) if is_secure else None), via)
        self._prepared: dict[str, requests.PreparedRequest] = {}
        self._adapter = self._session.get_adapter(endpoint)
        place = urlsplit(endpoint)
        self._is_near = place.scheme == "http" and is_loopback_address(place.hostname or "")
        self._observations = Observations()

    @classmethod
    def of(cls, model: ModelConfig, via: str = "") -> OllamaClient:
        """Make the client that a configuration asks for."""
        return cls(model.endpoint, model.ca_file, verify=model.verify, via=via)

    def chat(
        self, request: dict[str, Any], is_going_on: bool = False, request_id: str = "", path: str = "/api/chat"
    ) -> Exchange:
        """Prepare an exchange; nothing is sent before it is opened.

        path: that of `/api/generate`, which answers in the same way.
        is_going_on: its last message is a partial answer; the model's template is asked first whether it can.
        request_id: goes along, for the log of a proxy in front of Ollama.
        """
        body = msgspec.json.encode(request)
        check = partial(self._check_template, request["model"]) if is_going_on else None
        is_quick = self._is_near and len(body) <= AT_ONCE_BYTES
        model = request["model"]
        return Exchange(
            partial(self._post, path, request_id),
            body,
            partial(refusal_of, self.endpoint),
            is_quick=is_quick,
            check=check,
            floor_s=self._observations.floor_s(model),
            on_given_up=partial(self._note_given_up, model),
        )

    def call(self, path: str, body: bytes, model: str, request_id: str = "") -> Exchange:
        """Prepare a call of a model's whose answer is one JSON document; nothing is sent before it is opened."""
        return Exchange(
            partial(self._post, path, request_id),
            body,
            partial(refusal_of, self.endpoint),
            floor_s=self._observations.floor_s(model),
        )

    def _post(self, path: str, request_id: str, body: bytes) -> requests.Response:
        """Send a request; all but its body is prepared once, since preparing takes a third of what requests does."""
        prepared = self._prepared.get(path)
        if prepared is None:
            prepared = self._session.prepare_request(requests.Request("POST", f"{self.endpoint}{path}", HEADERS))
            self._prepared[path] = prepared
        chat = prepared.copy()
        chat.body = body
        chat.headers["Content-Length"] = str(len(body))
        if request_id:
            chat.headers["X-Request-Id"] = request_id
        return self._adapter.send(chat, stream=True, timeout=(CONNECT_TIMEOUT_S, None), proxies={})

    def note_answer(self, model: str, now: float) -> None:
        """Note that a frame of a model's has come, for any exchange."""
        self._observations.note_frame(model, now)

    def note_load(self, model: str, load_ns: int | None) -> None:
        """Note the load_duration of an answer of a model's that came to its end."""
        if load_ns is not None:
            self._observations.note_load(model, load_ns / 1e9)

    def _note_given_up(self, model: str) -> None:
        self._observations.note_given_up(model, time.monotonic())

    def has_answered_since(self, model: str, moment: float) -> bool:
        """Tell whether a model has said anything to anybody since then."""
        return self._observations.has_answered_since(model, moment)

    def has_given_up(self, model: str, now: float) -> bool:
        """Tell whether a prompt of a model's was given up of late before its answer began, and nothing has come since.

        Units: now is on the monotonic clock.
        """
        return self._observations.has_given_up(model, now)

    def _check_template(self, model: str) -> None:
        """Ask on a connection that the exchange captures, so that an interrupt ends this too."""
        if self.can_go_on(model, TEMPLATE_TIMEOUT_S) is False:
            raise CannotContinue

    def can_go_on(self, model: str, timeout_s: float) -> bool | None:
        """Ask whether a model can go on with a partial answer; None where Ollama does not say: a chat will."""
        try:
            shown = self.ask("/api/show", timeout_s, {"model": model})
        except UpstreamFailure:
            return None
        return can_continue(str(shown.get("template", ""))) if isinstance(shown, dict) else None

    def ask(self, path: str, timeout_s: float, json: Any = None) -> Any:
        """GET (with json: POST) a small JSON document; where the connection is cut off, ask once more.

        All that is asked in this way may be asked again: a model's description, its unloading.

        Units: timeout_s bounds connecting, sending, and the answer as a whole.
        Errors: Unreached; Unusable for another status than 200, a body that is not JSON or no small one.
        """
        _, _, document = self._ask(path, timeout_s, None if json is None else msgspec.json.encode(json))
        return document

    def fetch(self, path: str, timeout_s: float, body: bytes | None = None, request_id: str = "") -> Fetched:
        """GET (with a body: POST) a small JSON document as `ask` does; return it as it came, a refusal too.

        Errors: Unreached; Unusable for a body that is not JSON or no small one.
        """
        status, given, _ = self._ask(path, timeout_s, body, request_id, takes_refusals=True)
        return Fetched(status, given)

    def _ask(
        self, path: str, timeout_s: float, body: bytes | None, request_id: str = "", *, takes_refusals: bool = False
    ) -> tuple[int, bytes, Any]:
        ends_at = time.monotonic() + timeout_s
        ask = partial(self._ask_once, path, body, request_id, takes_refusals)
        try:
            try:
                return ask(timeout_s)
            except FAILURES as error:
                left_s = ends_at - time.monotonic()
                if left_s <= 0 or not is_cut_off(error):
                    raise
            return ask(left_s)
        except FAILURES as error:
            raise Unreached(reason_of(error)) from error

    def _ask_once(
        self, path: str, given: bytes | None, request_id: str, takes_refusals: bool, timeout_s: float
    ) -> tuple[int, bytes, Any]:
        headers = {} if given is None else {"Content-Type": "application/json"}
        if request_id:
            headers["X-Request-Id"] = request_id
        method = "GET" if given is None else "POST"
        asked = self._session.prepare_request(requests.Request(method, f"{self.endpoint}{path}", headers, data=given))
        # not by the session: it reads a redirect's body to its end, however long that is, even where it follows none
        with self._adapter.send(asked, stream=True, timeout=timeout_s, proxies={}) as response:
            body = _small_body(response, time.monotonic() + timeout_s)
            is_refusal = takes_refusals and response.status_code >= 400 and response.status_code not in AWAY
            if response.status_code == 200 or is_refusal:
                try:
                    return response.status_code, body, msgspec.json.decode(body)
                except UNREADABLE:
                    if not body and "Content-Length" not in response.headers:  # the head was cut, which nothing told
                        raise ConnectionResetError from None
            raise Unusable(self._look_at(response, body))

    def _look_at(self, response: requests.Response, body: bytes) -> Finding:
        status, fields = response.status_code, {name.lower(): value for name, value in response.headers.items()}
        found = recognise(self.endpoint, status, fields, body[:BEGINNING_BYTES])
        return found or Finding("unwell", f"status {status}")


def _small_body(response: requests.Response, ends_at: float) -> bytes:
    """Read a body whole, in pieces as they come, so that one that drips or never ends is given up.

    Of a refusal, the beginning is enough.
    """
    pieces: list[bytes] = []
    taken = containers = 0
    while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
        pieces.append(piece)
        taken += len(piece)
        if response.status_code != 200 and taken >= BEGINNING_BYTES:
            break
        if taken > MAX_DOCUMENT_BYTES:
            raise Unusable(Finding("other", f"more than {MAX_DOCUMENT_BYTES} bytes"))
        containers += piece.count(b"{") + piece.count(b"[")
        if containers > MAX_CONTAINERS:
            raise Unusable(Finding("other", f"more than {MAX_CONTAINERS} objects and lists"))
        if time.monotonic() > ends_at:
            raise requests.Timeout
    return b"".join(pieces)


def can_continue(template: str) -> bool:
    """Tell whether a model's template leaves the assistant's last turn open.

    To do so it must know which message is the last, and Go's only way to know is `len`; one that walks `.Messages`
    without it closes every turn alike. Ollama itself cuts a template without `.Messages` at `.Response`.
    Source: Ollama docs/template.md; template/template.go, Execute.
    """
    return ".Messages" not in template or re.search(r"\blen\b", template) is not None


def _session(adapter: SingleUseAdapter, via: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["User-Agent"] = "clawgate"
    session.headers["Connection"] = "close"
    if via:
        session.headers["Via"] = f"1.1 {via}"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # one for all users would be nobody's
    return session
