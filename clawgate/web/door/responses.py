"""Responses in our own JSON: the base of their types, how one is made, and the one shape of an error.

Handlers, the guard and the event encoder use it. A response body ends with a line end, for people at a terminal.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from flask import Blueprint, Flask, Request, Response, g, request

from clawgate.errors import (
    CannotContinue,
    ClawgateError,
    Forbidden,
    InternalError,
    ModelNotFound,
    Unauthorized,
    UpstreamFailure,
    UpstreamRefused,
)
from clawgate.web.door.reading import JSON

CHALLENGE = 'Bearer realm="clawgate"'
"""The demand for the token. No browser asks its reader for a Bearer. The page knows our refusal by it."""
TOKEN_HEADER = "X-Clawgate-Token"
"""The token's own header: `Authorization` may belong to a proxy in front that asks for a sign-in of its own."""
SIGN_INS = ("basic", "digest", "negotiate", "ntlm")
"""The schemes that a browser sends by itself, for a proxy."""
RUN_WAS_MADE = (UpstreamFailure, UpstreamRefused, CannotContinue, InternalError)
"""The errors that may have ended a run; openai-python and others would start a second one, also after a 409."""


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every body and event that is sent: it has its fields and no others."""


class Failure(Payload, frozen=True, omit_defaults=True):
    """A code for programs, and words for people: the field and the cure.

    `words`: Ollama's own, where the message quotes them, for a page that says the rest in its reader's language.
    """

    code: str
    message: str
    words: str = ""


class Failed(Payload, frozen=True):
    """The body of an error response."""

    error: Failure


_SEPARATORS = tuple((each.encode(), rf"\u{ord(each):04x}".encode()) for each in "\u2028\u2029\u0085")
_json = msgspec.json.Encoder().encode


def one_line(value: object) -> bytes:
    """Encode as JSON that is one line to every reader, and readable but for what would make it two.

    Python's str.splitlines, and so iter_lines(decode_unicode=True) of requests, also cuts a text at U+2028, U+2029 and
    U+0085; they are escaped. UTF-8 has their bytes in no other place. JSON escapes every other line end by itself.
    """
    data = _json(value)
    if data.isascii() or not (0xE2 in data or 0xC2 in data):  # their first bytes: a look takes 0.1 µs
        return data
    for separator, escaped in _SEPARATORS:
        data = data.replace(separator, escaped)
    return data


def encode(payload: Payload) -> bytes:
    """Encode a response body."""
    return one_line(payload) + b"\n"


def json_response(payload: Payload, status: int = 200) -> Response:
    """Make a JSON response."""
    return Response(encode(payload), status, mimetype=JSON)


def failure_of(error: ClawgateError) -> Failure:
    """Describe an error as responses and events carry it."""
    return Failure(error.code, error.message, error.words)


def encode_failure(error: ClawgateError) -> bytes:
    """Encode an error in our own shape."""
    return encode(Failed(failure_of(error)))


ErrorShape = Callable[[ClawgateError], tuple[int, bytes]]
"""The HTTP status and the body of an error, in one wire format."""


def our_shape(error: ClawgateError) -> tuple[int, bytes]:
    """Shape an error as our own API does."""
    return error.status, encode_failure(error)


def status_elsewhere(error: ClawgateError) -> int:
    """Return the status of an error in another API's shape, by which that API's clients choose their exception.

    It is ours, but 404 for a model that Ollama does not have, and 429 where Ollama says so itself.
    """
    if isinstance(error, ModelNotFound):
        return 404
    return 429 if error.upstream_status == 429 else error.status


def shape_errors(routes: Blueprint | Flask, choose: Callable[[Request], ErrorShape | None]) -> None:
    """Answer errors in the shape that is chosen for their request, those of the checks too; None is our own.

    It is registered before the checks.
    """

    def keep() -> None:
        chosen = choose(request)
        if chosen is not None:
            g.error_shape = chosen

    routes.before_request(keep)


def error_response(error: ClawgateError) -> Response:
    """Make the response to a failed request, in the error shape of the wire format that answers it."""
    g.error_code = error.code
    shape: ErrorShape = g.get("error_shape", our_shape)
    status, body = shape(error)
    response = Response(body, status, mimetype=JSON)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, RUN_WAS_MADE):
        response.headers["x-should-retry"] = "false"
    return demand_token(response) if isinstance(error, Unauthorized) else response


def demand_token(response: Response) -> Response:
    """Finish a refusal for want of the token: 401, but 403 to a browser that is signed in to a proxy.

    For the browser a 401 refuses what it sent in `Authorization`: it forgets that, and asks its reader for it again.
    """
    response.headers["WWW-Authenticate"] = CHALLENGE
    is_signed_in = request.headers.get("Authorization", "").partition(" ")[0].lower() in SIGN_INS
    if is_signed_in and (TOKEN_HEADER in request.headers or "text/html" in request.headers.get("Accept", "")):
        response.status_code = Forbidden.status
    return response
