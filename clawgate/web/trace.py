"""Who asks, and under which id: what nginx says of a request counts only where nginx is trusted.

Registered on the blueprint, before the guard, so that a refusal carries its id too. The id goes through the whole
chain: nginx's log, the access log, the line of the answer's end, the request to Ollama, the response.
"""

from __future__ import annotations

import ipaddress
import re
import secrets

from flask import Blueprint, Flask, Request, Response, g, request

CLIENT = "clawgate.client"
"""Where the access log finds the client's address in the WSGI environment."""
HEADER = "X-Request-Id"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Trace:
    """Gives each request its id and its client's address."""

    def __init__(self, trusted_proxies: tuple[str, ...]) -> None:
        self._trusted = tuple(map(ipaddress.ip_network, trusted_proxies))

    def install(self, routes: Blueprint | Flask) -> None:
        """Put it around every route of a blueprint, or of a whole application."""
        routes.before_request(self._begin)
        routes.after_request(self._finish)

    def _begin(self) -> None:
        request.environ[CLIENT] = self.client_of(request)
        given = request.headers.get(HEADER, "")
        is_taken = self._is_trusted(request.environ.get("REMOTE_ADDR", "")) and _ID.fullmatch(given)
        g.request_id = given if is_taken else secrets.token_hex(16)

    def _finish(self, response: Response) -> Response:
        response.headers[HEADER] = g.request_id
        return response

    def client_of(self, asked: Request) -> str:
        """Return the address of the client: the last one in X-Forwarded-For that no trusted proxy has."""
        client: str = asked.environ.get("REMOTE_ADDR", "")
        for hop in reversed(asked.headers.get("X-Forwarded-For", "").split(",")):
            if not self._is_trusted(client) or _address_of(hop.strip()) is None:
                break
            client = hop.strip()
        return client

    def _is_trusted(self, text: str) -> bool:
        address = _address_of(text)
        return address is not None and any(address in network for network in self._trusted)


def _address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address; an IPv4 one that a socket for both writes as ::ffff:1.2.3.4 is an IPv4 one.

    One with a scope is none: what follows the % is free text, and would stand in the log as it is.
    """
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
