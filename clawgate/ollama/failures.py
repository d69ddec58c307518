"""Failures between us and Ollama: whether waiting may help, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping

from clawgate.errors import ClawgateError, ModelNotFound, UpstreamError
from clawgate.ollama.recognition import recognise
from clawgate.ollama.words import words_of

CONNECT_TIMEOUT_S = 5.0


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


def refusal_of(endpoint: str, status: int, fields: Mapping[str, str], body: bytes) -> OpenFailure:
    """Say what answers in Ollama's place, else what Ollama says of a request that it does not answer."""
    finding = recognise(endpoint, status, fields, body)
    if finding is None or not finding.is_lasting:
        return failure_of(status, body)
    return OpenFailure(UpstreamError(finding.message), is_retryable=False)


def failure_of(status: int, body: bytes) -> OpenFailure:
    """Read what Ollama says of a request that it does not answer."""
    words = words_of(body)
    if status == 404 and "not found" in words and "model" in words:
        return OpenFailure(ModelNotFound(words), is_retryable=False)
    if status == 403 and not words:
        words = "it refuses the Host of model.endpoint: use 127.0.0.1 or localhost there, or set OLLAMA_HOST"
    message = f"Ollama answered with status {status}" + (f": {words}" if words else "")
    return OpenFailure(UpstreamError(message), is_retryable=status in (502, 503))
