"""Errors in Anthropic's shape: the type by the status, and our code among the details."""

from __future__ import annotations

import json

import pytest

from clawgate import errors
from clawgate.errors import ClawgateError
from clawgate.web.anthropic.errors import shape

SHAPES: list[tuple[ClawgateError, int, str]] = [
    (errors.BadRequest("max_tokens: expected an integer from 1"), 400, "invalid_request_error"),
    (errors.UpstreamRefused("bad"), 400, "invalid_request_error"),
    (errors.UntrustedHost("Host: expected localhost"), 400, "invalid_request_error"),
    (errors.Unauthorized("Authorization: expected"), 401, "authentication_error"),
    (errors.Forbidden("Origin: a page"), 403, "permission_error"),
    (errors.ModelNotAllowed("model: expected one of a"), 403, "permission_error"),
    (errors.NotFound("there is nothing at this address"), 404, "not_found_error"),
    (errors.ModelNotFound("model 'x' not found"), 404, "not_found_error"),
    (errors.MethodNotAllowed("this address"), 405, "invalid_request_error"),
    (errors.BusySession("busy"), 409, "invalid_request_error"),
    (errors.TooLarge("body: expected at most"), 413, "request_too_large"),
    (errors.UnsupportedMediaType("Content-Type: expected"), 415, "invalid_request_error"),
    (errors.InternalError(), 500, "api_error"),
    (errors.UpstreamUnreachable("away"), 502, "api_error"),
    (errors.Busy("100 streams"), 503, "overloaded_error"),
    (errors.ShuttingDown("no new chats"), 503, "overloaded_error"),
    (errors.UpstreamTimeout("silent"), 504, "timeout_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), SHAPES, ids=lambda value: getattr(value, "code", None))
def test_an_error_has_anthropics_shape(error: ClawgateError, status: int, kind: str) -> None:
    given, body = shape(error)
    assert given == status
    details = {"error_code": error.code}
    assert json.loads(body) == {"type": "error", "error": {"type": kind, "message": error.message, "details": details}}
    assert body.endswith(b"}}}\n")
