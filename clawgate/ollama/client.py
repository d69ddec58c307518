"""Ollama as the rest of the gateway knows it: makes exchanges, asks small questions.

This and its neighbours capture.py, exchange.py and failures.py are the only users of requests.
"""

from __future__ import annotations

import re
import time
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError, ProtocolError

from clawgate.addresses import is_loopback_address
from clawgate.errors import UpstreamError, UpstreamFailure, UpstreamUnreachable
from clawgate.ollama.capture import SingleUseAdapter
from clawgate.ollama.exchange import Exchange
from clawgate.ollama.failures import CONNECT_TIMEOUT_S, CannotContinue, reason_of
from clawgate.ollama.ndjson import UNREADABLE
from clawgate.ollama.observations import Observations

TEMPLATE_TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 1 << 24
"""/api/show has the model's licence and template in it: some ten KB."""
PIECE_BYTES = 1 << 16
AT_ONCE_BYTES = 1 << 15
"""A body that the system takes in whole, so that sending it does not block: half of what may be on its way."""
HEADERS = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity", "Content-Type": "application/json"}


class OllamaClient:
    """Makes exchanges with one Ollama, and asks it small questions.

    Its own Host goes out and no Origin: Ollama on loopback answers 403 to foreign ones. Nothing of the environment
    (proxies, .netrc) is used, no redirect followed, no connection used twice, which each request announces.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._session = _session()
        self._chat = self._session.prepare_request(requests.Request("POST", f"{endpoint}/api/chat", HEADERS))
        self._adapter = self._session.get_adapter(endpoint)
        place = urlsplit(endpoint)
        self._is_near = place.scheme == "http" and is_loopback_address(place.hostname or "")
        self._observations = Observations()

    def chat(self, request: dict[str, Any], is_going_on: bool = False, request_id: str = "") -> Exchange:
        """Prepare an exchange; nothing is sent before it is opened.

        is_going_on: its last message is a partial answer; the model's template is asked first whether it can.
        request_id: goes along, for the log of a proxy in front of Ollama.
        """
        body = msgspec.json.encode(request)
        check = partial(self._check_template, request["model"]) if is_going_on else None
        is_quick = self._is_near and len(body) <= AT_ONCE_BYTES
        model = request["model"]
        return Exchange(
            partial(self._post, request_id),
            body,
            is_quick=is_quick,
            check=check,
            floor_s=self._observations.floor_s(model),
            on_given_up=partial(self._note_given_up, model),
        )

    def _post(self, request_id: str, body: bytes) -> requests.Response:
        """Send a chat; all but its body was prepared once, since preparing takes a third of what requests does."""
        chat = self._chat.copy()
        chat.body = body
        chat.headers["Content-Length"] = str(len(body))
        if request_id:
            chat.headers["X-Request-Id"] = request_id
        return self._adapter.send(chat, stream=True, timeout=(CONNECT_TIMEOUT_S, None), proxies={})

    def note_answer(self, model: str, now: float) -> None:
        """Note that a frame of a model's has come, for any exchange."""
        self._observations.note_frame(model, now)

    def note_stats(self, model: str, stats: dict[str, int]) -> None:
        """Note the figures of an answer of a model's that came to its end."""
        self._observations.note_load(model, stats.get("load_duration", -1) / 1e9)

    def _note_given_up(self, model: str) -> None:
        self._observations.note_given_up(model, time.monotonic())

    def has_answered_since(self, model: str, moment: float) -> bool:
        """Tell whether a model has said anything to anybody since then."""
        return self._observations.has_answered_since(model, moment)

    def has_given_up(self, model: str) -> bool:
        """Tell whether a prompt of a model's was given up before its answer began, and nothing has come since."""
        return self._observations.has_given_up(model)

    def _check_template(self, model: str) -> None:
        """Ask on a connection that the exchange captures, so that an interrupt ends this too."""
        try:
            shown = self.ask("/api/show", TEMPLATE_TIMEOUT_S, {"model": model})
        except UpstreamFailure:
            return  # the chat itself will say what is wrong, or go well
        if isinstance(shown, dict) and not can_continue(str(shown.get("template", ""))):
            raise CannotContinue

    def ask(self, path: str, timeout_s: float, json: Any = None) -> Any:
        """GET (with json: POST) a small JSON document; a GET that a mere close answers is asked once more.

        Units: timeout_s bounds connecting, each read of the head, and the body as a whole.
        Errors: UpstreamUnreachable; UpstreamError for another status than 200, a body that is not JSON or no small one.
        """
        try:
            document = self._fetch(path, timeout_s, json)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise UpstreamUnreachable(f"Ollama {reason_of(error)}") from error
        try:
            return msgspec.json.decode(document)
        except UNREADABLE as error:
            raise UpstreamError(f"what answers {path} is not Ollama") from error

    def _fetch(self, path: str, timeout_s: float, json: Any) -> bytes:
        ends_at = time.monotonic() + timeout_s
        try:
            return self._fetch_once(path, timeout_s, json)
        except requests.ConnectionError as error:
            left_s = ends_at - time.monotonic()
            if json is not None or left_s <= 0 or not _is_cut_off(error):
                raise
        return self._fetch_once(path, left_s, json)

    def _fetch_once(self, path: str, timeout_s: float, json: Any) -> bytes:
        method = "GET" if json is None else "POST"
        with self._session.request(
            method, f"{self.endpoint}{path}", json=json, timeout=timeout_s, allow_redirects=False, stream=True
        ) as response:
            if response.status_code != 200:
                raise UpstreamError(f"Ollama answered {path} with status {response.status_code}")
            return _small_body(response, path, time.monotonic() + timeout_s)


def _is_cut_off(error: requests.ConnectionError) -> bool:
    """Tell whether a connection that had been made ended before an answer began: a server that restarts."""
    return bool(error.args) and isinstance(error.args[0], ProtocolError)


def _small_body(response: requests.Response, path: str, ends_at: float) -> bytes:
    """Read a body whole, in pieces as they come, so that one that drips or never ends is given up."""
    pieces: list[bytes] = []
    taken = 0
    while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
        pieces.append(piece)
        taken += len(piece)
        if taken > MAX_DOCUMENT_BYTES:
            raise UpstreamError(f"what answers {path} is not Ollama: more than {MAX_DOCUMENT_BYTES} bytes")
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


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    adapter = SingleUseAdapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["User-Agent"] = "clawgate"
    session.headers["Connection"] = "close"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # one for all users would be nobody's
    return session
