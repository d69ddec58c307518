"""The host names under which this gateway answers: the guard against DNS rebinding.

A page elsewhere can let its own name point at this machine. For the browser the gateway then is that page's own origin,
and CORS does not apply. A page can set `X-Forwarded-*`, never `Host`, so `Host` alone decides.
"""

from __future__ import annotations

from clawgate.addresses import is_local, is_loopback, name_of
from clawgate.config import ServerConfig
from clawgate.errors import UntrustedHost


class Hosts:
    """The host names of one gateway.

    Shape: without `server.trusted_hosts` every name is accepted where the port is open to other machines (their names
    for it are not known here), and for a blueprint, whose port is another application's.
    """

    def __init__(self, server: ServerConfig, *, is_own_port: bool) -> None:
        self._trusted = frozenset(server.trusted_hosts)
        self._bound = server.host.lower()
        self.is_checked = bool(self._trusted) or (is_own_port and is_loopback(server.host))
        """True where a request can be refused for its Host."""

    def check(self, host: str) -> None:
        """Refuse a Host header that does not name this gateway.

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

        A missing Host is local: HTTP/1.0 health checks have none, and every browser sends one.
        """
        name = name_of(host)
        if self._trusted:
            return name in self._trusted
        return not host or (name is not None and (is_local(name) or name == self._bound))
