"""Errors as Ollama's API words them: `{"error": "…"}`, with Ollama's own status and words where it has refused."""

from __future__ import annotations

from clawgate.errors import ClawgateError
from clawgate.web.door.responses import one_line
from clawgate.web.ollama.answers import OllamaFailed


def failure_of(error: ClawgateError) -> OllamaFailed:
    """Word an error."""
    return OllamaFailed(error.upstream_words or error.message)


def shape(error: ClawgateError) -> tuple[int, bytes]:
    """Return the status and the body of a failed request."""
    return error.upstream_status or error.status, one_line(failure_of(error))
