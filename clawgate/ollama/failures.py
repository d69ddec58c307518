"""Failures between us and Ollama: whether waiting may help, and the words for them."""

from __future__ import annotations

import msgspec
import requests

from clawgate.errors import ClawgateError, ModelNotFound, UpstreamError, UpstreamUnreachable
from clawgate.ollama.ndjson import UNREADABLE

CONNECT_TIMEOUT_S = 5.0
DROPPED = "dropped the connection"


class OpenFailure(Exception):
    """Ollama did not begin to answer. A client gets `error`; `is_retryable` says whether waiting may help."""

    def __init__(self, error: ClawgateError, is_retryable: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.is_retryable = is_retryable


class CannotContinue(OpenFailure):
    """The model's template closes the assistant's last turn, so that a partial answer cannot be gone on with."""

    def __init__(self) -> None:
        super().__init__(UpstreamError("the model's template cannot continue an answer"), is_retryable=False)


def unreachable(why: str) -> OpenFailure:
    """Say that Ollama is away, which is waited for; `why` are words that follow its name."""
    return OpenFailure(UpstreamUnreachable(f"Ollama {why}"), is_retryable=True)


def failure_of(status: int, body: bytes) -> OpenFailure:
    """Read what Ollama says of a request that it does not answer."""
    words = _words_of(body)
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


def reason_of(error: Exception) -> str:
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
    return DROPPED
