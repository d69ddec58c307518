"""Errors in OpenAI's shape, for every route of this room and for every address under /v1/ that no route has.

OpenAI's clients choose their exception by the status, and show the message.
Source: OpenAI API reference, "Error codes"; openai-python `_exceptions.py`, openai-node `core/error.ts`.
"""

from __future__ import annotations

import re

from clawgate.errors import ClawgateError, ModelNotFound, RequestError, UpstreamRefused
from clawgate.web.door.responses import Payload, encode, status_elsewhere

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_FIELD = re.compile(r"(?!body:)([a-z_]\w*(?:\[\d+\]|\.\w+)*): ", re.ASCII)
"""The field that a message of ours begins with. A header begins with a capital, and `body` is no field."""


class OpenAIError(Payload, frozen=True):
    """An error: its class by the status, the field that it is about, and a code for programs."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIFailed(Payload, frozen=True):
    """The body of an error response, and the data of the event by which a stream says that it failed."""

    error: OpenAIError


def failed_of(error: ClawgateError) -> OpenAIFailed:
    """Describe an error as OpenAI does."""
    status = status_elsewhere(error)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return OpenAIFailed(OpenAIError(error.message, kind, _param_of(error), error.code))


def shape(error: ClawgateError) -> tuple[int, bytes]:
    """Encode an error; return the status and the body."""
    return status_elsewhere(error), encode(failed_of(error))


def _param_of(error: ClawgateError) -> str | None:
    if isinstance(error, ModelNotFound):
        return "model"
    if not isinstance(error, RequestError) or isinstance(error, UpstreamRefused):
        return None
    field = _FIELD.match(error.message)
    return field[1] if field else None
