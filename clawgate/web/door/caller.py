"""The caller: a request's id and its client's address. A proxy's word for them counts only where it is trusted.

It is registered on the blueprint, before the guard, so that a refusal carries its id too. The id goes through the whole
chain: nginx's log, the access log, the line of the answer's end, the request to Ollama, the response.
"""

from __future__ import annotations

import ipaddress
import re
import secrets

from flask import Blueprint, Flask, Request, Response, g, request

from clawgate.addresses import address_of, is_loopback_address, name_of
from clawgate.errors import BadRequest
from clawgate.sockets import unix_path
from clawgate.web.door.responses import our_shape

CLIENT = "clawgate.client"
"""The key of the client's address in the WSGI environment, for the access log."""
HEADER = "X-Request-Id"
PROXIED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""The headers of a request that a proxy passed on."""
UNIX_PEER = "unix"
"""The peer that came by a Unix socket: it has no address."""
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_is_not_ours(request: Request, via: str) -> None:
    """Refuse a request that this gateway has made: it would ask itself until no stream is free.

    The refusal is in our own form on every route: by that the gateway knows what it has asked.
    via: the name that it has in the Via of its own requests; empty where it has none.

    Errors: BadRequest.
    """
    if via and via in request.headers.get("Via", ""):
        g.error_shape = our_shape
        raise BadRequest("this gateway asks itself: model.endpoint is its own address, and must be Ollama's")


def peer_of(request: Request) -> str:
    """Return the address at the other end of the connection; `UNIX_PEER` where that is a Unix socket's."""
    is_unix = unix_path(request.environ.get("gunicorn.socket")) is not None
    return UNIX_PEER if is_unix else request.environ.get("REMOTE_ADDR", "")


class Caller:
    """Gives each request its id and its client's address."""

    def __init__(self, trusted_proxies: tuple[str, ...]) -> None:
        self._trusted = tuple(map(ipaddress.ip_network, trusted_proxies))

    def install(self, routes: Blueprint | Flask) -> None:
        """Register it for every route of a blueprint, or of a whole application."""
        routes.before_request(self._begin)
        routes.after_request(self._finish)

    def _begin(self) -> None:
        request.environ[CLIENT] = self.client_of(request)
        given = request.headers.get(HEADER, "")
        is_taken = _ID.fullmatch(given) and self._is_trusted(peer_of(request))
        g.request_id = given if is_taken else secrets.token_hex(16)

    def _finish(self, response: Response) -> Response:
        response.headers[HEADER] = g.request_id
        return response

    def client_of(self, request: Request) -> str:
        """Return the address of the client: the last one in X-Forwarded-For that no trusted proxy has."""
        client = peer_of(request)
        forwarded = request.headers.get("X-Forwarded-For")
        for hop in reversed(forwarded.split(",")) if forwarded else ():  # reading an address takes 4 µs, failing to 8
            if not self._is_trusted(client) or address_of(hop.strip()) is None:
                break
            client = hop.strip()
        return client

    def is_local(self, request: Request) -> bool:
        """Tell whether the client is on this machine, and not behind an untrusted proxy on it."""
        peer = peer_of(request)
        is_proxied = any(name in request.headers for name in PROXIED)
        hops = request.headers.get("X-Forwarded-For", "").split(",") if is_proxied else []
        is_credible = self._is_trusted(peer) or not is_proxied
        is_here = peer == UNIX_PEER or is_loopback_address(peer)
        return is_credible and is_here and all(is_loopback_address(hop.strip()) for hop in hops)

    def host_of(self, request: Request) -> str:
        """Return the host and port in the browser's address bar, for display; no check may rest on it."""
        forwarded = request.headers.get("X-Forwarded-Host", "")
        if self._is_trusted(peer_of(request)) and name_of(forwarded):
            return forwarded
        return request.host if name_of(request.host) else "localhost"

    def _is_trusted(self, text: str) -> bool:
        """Look a peer up. A socket for both families writes an IPv4 address as ::ffff:1.2.3.4.

        A peer that came by a Unix socket is a process on this machine; it is trusted where any proxy is.
        """
        if text == UNIX_PEER:
            return bool(self._trusted)
        address = address_of(text)
        address = getattr(address, "ipv4_mapped", None) or address
        return address is not None and any(address in network for network in self._trusted)
