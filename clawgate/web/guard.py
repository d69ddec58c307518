"""Who may use the API, and what every answer carries: Host, token, CORS, security headers, errors as JSON.

Registered on the blueprint, so that it holds in another Flask application too.
"""

from __future__ import annotations

import hmac
import logging

from flask import Blueprint, Flask, Request, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from clawgate.config import ServerConfig
from clawgate.errors import (
    BadRequest,
    ClawgateError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
    UntrustedHost,
    UpstreamFailure,
)
from clawgate.web.sse import error_of

log = logging.getLogger(__name__)

PREFLIGHT_S = 600
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TOKEN_PAGES = ("render", "setup")
"""Endpoints outside /api/ that want the token too."""
_BY_STATUS: dict[int, type[ClawgateError]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}
_WORDS = {404: "there is nothing at this address", 405: "this address does not take that method; see Allow"}


class Guard:
    """Checks each request before its handler, and finishes each answer after it."""

    def __init__(self, server: ServerConfig) -> None:
        self._server = server

    def install(self, routes: Blueprint | Flask) -> None:
        """Put the checks around every route of a blueprint, or of a whole application and what it has no route for."""
        routes.before_request(self._check)
        routes.after_request(self._finish)
        routes.register_error_handler(ClawgateError, answer_error)
        routes.register_error_handler(Exception, answer_unexpected)

    def _check(self) -> Response | None:
        self.check_host(request)
        if request.method == "OPTIONS":
            return Response(status=204)
        self._check_token()
        return None

    def check_host(self, asked: Request) -> None:
        """Refuse a Host that is none of ours (DNS rebinding).

        Errors: UntrustedHost.
        """
        trusted = self._server.trusted_hosts
        if trusted and _name_of(asked.headers.get("Host", "")) not in trusted:
            raise UntrustedHost("Host: expected one of server.trusted_hosts")

    def _check_token(self) -> None:
        token = self._server.auth_token
        if token is None or not wants_token(request.path, request.endpoint or ""):
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise Unauthorized("Authorization: expected `Bearer` and the gateway's token (server.auth_token)")

    def _finish(self, response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if "session_id" in g:
            response.headers["X-Session-Id"] = g.session_id
        self._allow_origin(response)
        return response

    def _allow_origin(self, response: Response) -> None:
        """Answer CORS: the exact origin back, or `*` where the configuration says so. Source: WHATWG Fetch, 3.3."""
        allowed = self._server.cors_allowed_origins
        origin = request.headers.get("Origin")
        if not allowed:
            return
        if "*" not in allowed:
            response.vary.add("Origin")
        if origin is None or not {"*", origin} & set(allowed):
            return
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
        response.headers["Access-Control-Expose-Headers"] = "X-Session-Id, X-Run-Id, X-Request-Id, Retry-After"
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, X-Session-Id"
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)


def wants_token(path: str, endpoint: str) -> bool:
    """Tell whether a path, or a route's rule, is closed without the token, where one is set."""
    return "/api/" in f"{path}/" or endpoint.rpartition(".")[2] in TOKEN_PAGES


def _name_of(host: str) -> str:
    """Give the Host header's name without its port, an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def answer_error(error: ClawgateError) -> Response:
    """Answer one of our errors as JSON with its status."""
    response = jsonify(error=error_of(error))
    response.status_code = error.status
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UpstreamFailure | InternalError):  # openai-python and others would start a second run
        response.headers["x-should-retry"] = "false"
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = 'Bearer realm="clawgate"'
    return response


def answer_unexpected(error: Exception) -> Response:
    """Answer what Werkzeug refuses, and what nobody foresaw, in the same shape; a traceback goes to the log only."""
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        kind = _BY_STATUS.get(error.code, BadRequest)
        response = answer_error(kind(_WORDS.get(error.code) or error.description or error.name))
        response.status_code = error.code
        if isinstance(error, WerkzeugMethodNotAllowed):
            response.allow.update(error.valid_methods or ())
        return response
    log.error("%s %r failed", request.method, request.path, exc_info=error)
    return answer_error(InternalError())
