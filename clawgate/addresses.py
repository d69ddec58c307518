"""Names and addresses of hosts, as text: pure, but for the resolver that `is_loopback` asks.

No resolver is asked for an IP literal or for `localhost`, so that neither can be pointed elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

HOST_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
"""A host's name as browsers send it: letters of other alphabets are `xn--…` there."""
MAX_PORT = 65535
UNIX = "unix:"
"""The beginning of a `server.host` that is a Unix socket's path."""
_HOST = re.compile(rf"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>{HOST_NAME}\.?))(?::(?P<port>[0-9]{{0,5}}))?")


def name_of(host: str) -> str | None:
    """Return a Host header's name in lower case without port and final dot, an address without brackets.

    None stands for a text that no browser sends.
    """
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > MAX_PORT:
        return None
    if found["literal"] is None:
        return found["name"].lower().removesuffix(".")
    address = address_of(found["literal"])
    return str(address) if isinstance(address, ipaddress.IPv6Address) else None


def socket_path(host: str) -> str | None:
    """Return the path of a `server.host` that is a Unix socket; None for an address."""
    return host.removeprefix(UNIX) if host.startswith(UNIX) else None


def is_local(name: str) -> bool:
    """Tell whether no name server is asked for a name: it is this machine's by definition, or an IP address."""
    return name == "localhost" or name.endswith(".localhost") or address_of(name) is not None


def visited_name(host: str, trusted_hosts: Sequence[str]) -> str:
    """Return a name, as it stands in a URL, that leads from this machine to `server.host` and that the gateway accepts.

    Shape: host is no Unix socket.
    """
    name = host if host not in ("0.0.0.0", "::") else "127.0.0.1"
    if trusted_hosts and name not in trusted_hosts:
        name = next(filter(is_local, trusted_hosts), trusted_hosts[0])
    return f"[{name}]" if ":" in name else name


def is_loopback(host: str) -> bool:
    """Tell whether this machine alone reaches `server.host`; a host that cannot be bound counts as loopback.

    A Unix socket is reached from this machine alone, too.
    """
    if socket_path(host) is not None:
        return True
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

    An address with a scope is refused: the text after the % is free, and would stand in the log as it is.
    """
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
