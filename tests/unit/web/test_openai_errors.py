"""Errors in OpenAI's shape: the class that its clients choose by the status, the field, the code."""

from __future__ import annotations

import json

import pytest

from clawgate import errors
from clawgate.errors import ClawgateError
from clawgate.web.openai.errors import shape

SHAPES: list[tuple[ClawgateError, int, str, str | None, str]] = [
    (
        errors.BadRequest("messages[0].content: expected a text"),
        400,
        "invalid_request_error",
        "messages[0].content",
        "bad_request",
    ),
    (errors.BadRequest("tools: expected a list"), 400, "invalid_request_error", "tools", "bad_request"),
    (errors.BadRequest("body: expected JSON"), 400, "invalid_request_error", None, "bad_request"),
    (errors.BadRequest("Idempotency-Key: expected 16"), 400, "invalid_request_error", None, "bad_request"),
    (errors.BadRequest("this gateway asks itself: x"), 400, "invalid_request_error", None, "bad_request"),
    (errors.UpstreamRefused("format: bad"), 400, "invalid_request_error", None, "upstream_refused"),
    (errors.UntrustedHost("Host: expected localhost"), 400, "invalid_request_error", None, "untrusted_host"),
    (errors.Unauthorized("Authorization: expected"), 401, "authentication_error", None, "unauthorized"),
    (errors.Forbidden("Origin: a page"), 403, "permission_error", None, "forbidden"),
    (errors.ModelNotAllowed("model: expected one of a"), 403, "permission_error", "model", "model_not_allowed"),
    (errors.NotFound("there is nothing at this address"), 404, "not_found_error", None, "not_found"),
    (errors.ModelNotFound("model 'x' not found"), 404, "not_found_error", "model", "model_not_found"),
    (errors.MethodNotAllowed("this address"), 405, "invalid_request_error", None, "method_not_allowed"),
    (errors.BusySession("busy"), 409, "invalid_request_error", None, "busy_session"),
    (errors.TooLarge("body: expected at most"), 413, "invalid_request_error", None, "too_large"),
    (
        errors.UnsupportedMediaType("Content-Type: expected"),
        415,
        "invalid_request_error",
        None,
        "unsupported_media_type",
    ),
    (errors.InternalError(), 500, "server_error", None, "internal"),
    (errors.UpstreamUnreachable("model: away"), 502, "server_error", None, "upstream_unreachable"),
    (errors.Busy("100 streams"), 503, "server_error", None, "busy"),
    (errors.UpstreamTimeout("silent"), 504, "server_error", None, "upstream_timeout"),
]


@pytest.mark.parametrize(
    ("error", "status", "kind", "param", "code"), SHAPES, ids=lambda value: getattr(value, "code", None)
)
def test_an_error_has_openais_shape(error: ClawgateError, status: int, kind: str, param: str | None, code: str) -> None:
    given, body = shape(error)
    assert given == status
    assert json.loads(body) == {"error": {"message": error.message, "type": kind, "param": param, "code": code}}
    assert body.endswith(b"}}\n")


def test_a_line_separator_in_an_error_is_escaped() -> None:
    _, body = shape(errors.UpstreamRefused("a\u2028b\u0085"))
    assert rb"a\u2028b\u0085" in body
