"""Errors in Anthropic's shape: an answer's body, and the event by which a stream says that it failed.

Anthropic's clients choose their exception by the status, and offer `details.error_code` as the error's code.
Source: Anthropic API reference, "Errors"; anthropic-sdk-python `_exceptions.py`, `types/shared/error_type.py`.
"""

from __future__ import annotations

from clawgate.errors import ClawgateError
from clawgate.web.door.responses import Payload, encode, status_elsewhere

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class AnthropicErrorDetails(Payload, frozen=True):
    """The code of an error, for programs."""

    error_code: str


class AnthropicError(Payload, frozen=True):
    """An error: its class by the status, words for people, a code for programs."""

    type: str
    message: str
    details: AnthropicErrorDetails


class AnthropicFailed(Payload, frozen=True, tag_field="type", tag="error"):
    """The body of an error response, and the data of a stream's `error` event."""

    error: AnthropicError


def failed_of(error: ClawgateError) -> AnthropicFailed:
    """Describe an error as Anthropic does."""
    status = status_elsewhere(error)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return AnthropicFailed(AnthropicError(kind, error.message, AnthropicErrorDetails(error.code)))


def shape(error: ClawgateError) -> tuple[int, bytes]:
    """Encode an error; return the status and the body."""
    return status_elsewhere(error), encode(failed_of(error))
