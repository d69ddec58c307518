"""The guard: it checks Host, site and token of each request, and gives each answer its headers and errors their shape.

It is registered on the blueprint, so that it holds in another Flask application too.
"""

from __future__ import annotations

import errno
import hmac
import logging
import re
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Request, Response, current_app, g, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response as WerkzeugResponse

from clawgate.config import ServerConfig
from clawgate.errors import (
    BadRequest,
    Busy,
    ClawgateError,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
)
from clawgate.telemetry.ids import NAMED, NOT_KNOWN, Id
from clawgate.web.door.hosts import Hosts
from clawgate.web.door.places import IDEMPOTENCY_KEY, LAST_EVENT_ID
from clawgate.web.door.responses import TOKEN_HEADER, error_response

log = logging.getLogger(__name__)

PREFLIGHT_S = 600
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGES = ("page", "setup")
"""The endpoints that a link on another site may lead to."""
OPEN = ("page", "static", "lasting", "healthz", "readyz", "openapi", "ollama_running")
"""The endpoints that want no token. Every other route wants it."""
OF_ANTHROPIC = "/v1/messages"
"""The address of Anthropic's API, whose clients send the token as `X-Api-Key`."""
CORS_HEADERS = ("Authorization", "Content-Type", IDEMPOTENCY_KEY, LAST_EVENT_ID, "X-Session-Id", TOKEN_HEADER)
"""The headers that a page of an allowed origin may always send."""
CLIENTS_HEADER = re.compile(
    r"(?:x-stainless|openai|anthropic)-[a-z0-9-]+|x-api-key|user-agent|x-requested-with", re.IGNORECASE
)
"""The further headers that other wire formats' clients send from a page. ollama-js and openai-node set `User-Agent`;
Chrome drops theirs, Firefox and Safari ask for it.
"""
MAX_ASKED = 1 << 12
_BY_STATUS: dict[int, type[ClawgateError]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}
_WORDS = {404: "there is nothing at this address", 405: "this address does not take that method; see Allow"}


class Guard:
    """Checks each request before its handler, and finishes each answer after it."""

    def __init__(self, server: ServerConfig, hosts: Hosts) -> None:
        self._server = server
        self._hosts = hosts

    def install(self, routes: Blueprint | Flask) -> None:
        """Put the checks around every route of a blueprint, or around all requests of an application."""
        routes.before_request(self._check)
        routes.after_request(self._finish)
        routes.register_error_handler(ClawgateError, error_response)
        routes.register_error_handler(Exception, answer_unexpected)

    def _check(self) -> WerkzeugResponse | None:
        self._hosts.check(request.headers.get("Host", ""))
        if request.method == "OPTIONS":
            return answer_options()
        self._check_site()
        self._check_token()
        moved = request.routing_exception
        return redirect(path_of(moved.new_url), moved.code) if isinstance(moved, RequestRedirect) else None

    def _check_site(self) -> None:
        """Refuse a request of another site's page, whether or not that page could read the answer.

        Browsers name the site to https and to loopback addresses. A client that names none is no browser, or is refused
        for its body's type. Source: W3C Fetch Metadata Request Headers.
        """
        is_foreign = request.headers.get("Sec-Fetch-Site", "").lower() == "cross-site"
        if is_foreign and not is_visit(request) and not self._is_allowed(request.headers.get("Origin")):
            raise Forbidden(
                "Origin: a page of another site asks, and server.cors_allowed_origins does not have its origin"
            )

    def _check_token(self) -> None:
        token = self._server.auth_token
        if token is None or not wants_token(request):
            return
        given = [request.headers.get(TOKEN_HEADER, ""), bearer_of(request.headers.get("Authorization", ""))]
        if OF_ANTHROPIC in request.path:  # an address below it that no route has is a 404 to a client with its key
            given.append(request.headers.get("X-Api-Key", ""))
        is_right = [hmac.compare_digest(each.encode(), token.encode()) for each in given]
        if not any(is_right):
            raise Unauthorized(
                "Authorization: expected `Bearer` and the gateway's token (server.auth_token), "
                f"or the token in {TOKEN_HEADER}"
            )

    def _finish(self, response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if "session_id" in g:
            response.headers["X-Session-Id"] = g.session_id
        if "run_id" in g:
            response.headers["X-Run-Id"] = g.run_id
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
        if not self._is_allowed(origin):
            return
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else str(origin)
        response.headers["Access-Control-Expose-Headers"] = "X-Session-Id, X-Run-Id, X-Request-Id, Retry-After"
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = ", ".join((*CORS_HEADERS, *of_clients(request)))
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)

    def _is_allowed(self, origin: str | None) -> bool:
        return origin is not None and not {"*", origin}.isdisjoint(self._server.cors_allowed_origins)


def of_clients(request: Request) -> list[str]:
    """Return the headers that the official clients of other wire formats ask for in a preflight, as they send them."""
    asked = request.headers.get("Access-Control-Request-Headers", "")[:MAX_ASKED]
    return [name.strip() for name in asked.split(",") if CLIENTS_HEADER.fullmatch(name.strip())]


def path_of(url: str) -> str:
    """Return an address without its host: behind a proxy, the browser knows another host than we do."""
    return urlsplit(url)._replace(scheme="", netloc="").geturl()


def bearer_of(authorization: str) -> str:
    """Return the token of an `Authorization` header, "" for another scheme: that one is a proxy's. Source: RFC 6750."""
    scheme, _, given = authorization.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def is_visit(request: Request) -> bool:
    """Tell whether a reader opens one of our pages by a link on another site."""
    mode, place = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest", "document")
    is_opened = request.method == "GET" and (mode, place) == ("navigate", "document")
    return is_opened and _name_of(request.endpoint) in PAGES


def wants_token(request: Request) -> bool:
    """Tell whether a request is refused without the token, where one is set; without a route, its path decides."""
    path = f"{request.path}/"
    return "/api/" in path or "/v1/" in path if request.endpoint is None else not is_open(request.endpoint)


def is_open(endpoint: str) -> bool:
    """Tell whether a route wants no token."""
    return _name_of(endpoint) in OPEN


def _name_of(endpoint: str | None) -> str:
    """Return an endpoint's name without the blueprint's."""
    return (endpoint or "").rpartition(".")[2]


def answer_options() -> Response:
    """Answer OPTIONS, a CORS preflight or not, with the methods of the address. Source: RFC 9110, 9.3.7."""
    response = Response(status=204)
    _allow(response)
    return response


def _allow(response: Response) -> None:
    """Name every method of the address in a fixed order. Source: RFC 9110, 10.2.1."""
    address = current_app.create_url_adapter(request)
    assert address is not None
    response.allow.update(sorted(address.allowed_methods()))


def _names() -> dict[str, object]:
    """Return the request's names in the log; the rule stands for the path, which may hold a session's id."""
    return {
        "method": request.method,
        "rule": str(request.url_rule or NOT_KNOWN),
        "session": Id(g.session_id) if "session_id" in g else NOT_KNOWN,
        "run": NOT_KNOWN,
        "request": g.get("request_id", NOT_KNOWN),
    }


def answer_unexpected(error: Exception) -> Response:
    """Answer Werkzeug's refusals and unforeseen errors in the same shape; a traceback goes to the log only."""
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        kind = _BY_STATUS.get(error.code, BadRequest)
        response = error_response(kind(_WORDS.get(error.code) or error.description or error.name))
        response.status_code = error.code
        if error.code == MethodNotAllowed.status:
            _allow(response)
        return response
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return error_response(Busy("no file descriptor is left (LimitNOFILE, `ulimit -n`); try again in a moment"))
    log.error(f"request failed: method=%(method)s rule=%(rule)s {NAMED}", _names(), exc_info=error)
    return error_response(InternalError())
