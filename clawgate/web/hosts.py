"""The names that a request may call this gateway by: the guard against DNS rebinding.

A page elsewhere can let its own name point at this machine; for the browser the gateway then is that page's own origin,
and CORS does not apply. `Host` gives it away: a page can set `X-Forwarded-*`, never `Host`. So `Host` alone decides.
An IP literal is nobody's name to point elsewhere, and no resolver is asked for `localhost`: both are safe on any port.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from clawgate.config import HOST_NAME, ServerConfig
from clawgate.errors import UntrustedHost

MAX_PORT = 65535
_HOST = re.compile(rf"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>{HOST_NAME}\.?))(?::(?P<port>[0-9]{{0,5}}))?")


class Hosts:
    """The names that one gateway is called by.

    Shape: without `server.trusted_hosts` every name will do where the port is open to other machines (their names for
    it are not known here), and for a blueprint, whose port is another application's.
    """

    def __init__(self, server: ServerConfig, *, is_own_port: bool) -> None:
        self._trusted = frozenset(server.trusted_hosts)
        self._bound = server.host.lower()
        self.is_checked = bool(self._trusted) or (is_own_port and is_loopback(server.host))
        """Whether a request can be refused for its Host."""

    def check(self, host: str) -> None:
        """Refuse a Host header that is none of ours.

        Errors: UntrustedHost.
        """
        if not self.is_checked or self.is_known(host):
            return
        if self._trusted:
            raise UntrustedHost(
                "Host: expected one of server.trusted_hosts; add this name there "
                "(behind the shipped nginx `localhost`, which is what nginx passes on)"
            )
        raise UntrustedHost(
            "Host: expected localhost or an IP address; to serve another name, add it to server.trusted_hosts, "
            "or let the proxy that knows it pass on `localhost`"
        )

    def is_known(self, host: str) -> bool:
        """Tell whether a Host header has one of server.trusted_hosts; without these, a local name or server.host's own.

        No Host at all is local: HTTP/1.0 health checks have none, and every browser sends one.
        """
        name = name_of(host)
        if self._trusted:
            return name in self._trusted
        return not host or (name is not None and (is_local(name) or name == self._bound))


def name_of(host: str) -> str | None:
    """Return a Host header's name in lower case without port and final dot, an address without brackets; None for what
    a browser would not write.
    """
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > MAX_PORT:
        return None
    if found["literal"] is None:
        return found["name"].lower().removesuffix(".")
    address = address_of(found["literal"])
    return str(address) if isinstance(address, ipaddress.IPv6Address) else None


def is_local(name: str) -> bool:
    """Tell whether a name is this machine's whatever a name server says, or an IP address and so no name at all."""
    return name == "localhost" or name.endswith(".localhost") or address_of(name) is not None


def is_loopback(host: str) -> bool:
    """Tell whether what `server.host` names is reached from this machine alone; what cannot be bound is, too."""
    try:
        found = {str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return True
    return all(is_loopback_address(address) for address in found)


def is_loopback_address(text: str) -> bool:
    """Tell whether a text is an address of this machine's alone."""
    address = address_of(text)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address in its usual spelling.

    One with a scope is none: what follows the % is free text, and would stand in the log as it is.
    """
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
