"""The setup page: the chain as an operator sees it, its state, its commands and the configuration in force.

A browser cannot send the token with a link. Without the token the page is a 401 that asks for it, and its script then
fetches the same address with it. The script renews the states the same way. Addresses, commands and the configuration
are for the operator: a browser on this machine, or a client that has the token. Others see the states alone.
"""

from __future__ import annotations

import http.client
import json
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from flask import Blueprint, Response, request, url_for

from clawgate import __version__
from clawgate.addresses import UNIX, name_of
from clawgate.config import Config, Setting, settings
from clawgate.errors import Unauthorized
from clawgate.ollama.state import CachedQuestion, UpstreamState
from clawgate.sockets import unix_path
from clawgate.web.door.caller import Caller
from clawgate.web.door.hosts import Hosts
from clawgate.web.door.responses import demand_token, error_response
from clawgate.web.pages.appearance import Appearance

NGINX_PORT = 8080
"""The port of the shipped nginx/clawgate.conf."""
NGINX_TIMEOUT_S = 0.5
NGINX_CURE = "nginx -t && nginx -s reload"

State = Literal["up", "down", "bypassed", "unknown"]


class Hop(NamedTuple):
    """One link of the chain; `word` is the key of the words for its state."""

    name: str
    title: str
    address: str
    state: State
    word: str
    version: str = ""
    start: str = ""
    cure: str = ""
    detail: str = ""

    @property
    def public(self) -> Hop:
        """It without what is the operator's alone."""
        word = "setup.ollama.stranger" if self.detail else self.word
        return self._replace(address="", start="", cure="", detail="", word=word)


class SetupRoutes:
    """`GET /setup`."""

    def __init__(
        self,
        config: Config,
        upstream: CachedQuestion[UpstreamState],
        appearance: Appearance,
        caller: Caller,
        hosts: Hosts,
    ) -> None:
        self._config = config
        self._upstream = upstream
        self._appearance = appearance
        self._caller = caller
        self._hosts = hosts
        not_known: tuple[State, str] = ("unknown", "setup.nginx.asked")
        self._nginx_state = CachedQuestion(lambda: nginx_state(NGINX_PORT, config.server.path_prefix), not_known)

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/setup", "setup", self.setup)
        blueprint.register_error_handler(Unauthorized, self.answer_locked)

    def setup(self) -> Response:
        """Render the page."""
        hops = [self._browser(), self._nginx(), self._clawgate(), self._ollama(), self._model()]
        if not self._is_operator():
            hops = [hop.public for hop in hops]
            return self._appearance.show(request, "setup.html", is_locked=False, is_operator=False, hops=hops)
        return self._appearance.show(
            request,
            "setup.html",
            is_locked=False,
            is_operator=True,
            hops=hops,
            ports=self._ports(),
            settings=[(setting.name, self._shown(setting), setting.variable) for setting in settings()],
        )

    def _is_operator(self) -> bool:
        """Tell whether the request has passed the token's check, or comes from this machine.

        A page whose name points here (DNS rebinding) comes from this machine, too, but with a foreign Host.
        """
        is_here = self._caller.is_local(request) and self._hosts.is_known(request.headers.get("Host", ""))
        return is_here or self._config.server.auth_token is not None

    def answer_locked(self, error: Unauthorized) -> Response:
        """Ask a browser that opened the page for the token; other clients get the JSON error."""
        is_page = (request.endpoint or "").rpartition(".")[2] == "setup"
        if not is_page or request.accept_mimetypes.best_match(("application/json", "text/html")) != "text/html":
            return error_response(error)
        return demand_token(self._appearance.show(request, "setup.html", error.status, is_locked=True))

    def _browser(self) -> Hop:
        return Hop("browser", "browser", self._address(), "up", "setup.browser.up")

    def _nginx(self) -> Hop:
        start = "cp nginx/clawgate.conf /etc/nginx/conf.d/ && nginx"
        if request.headers.get("X-Forwarded-For"):
            return Hop("nginx", "nginx", self._address(), "up", "setup.nginx.up", start=start)
        host = name_of(self._caller.host_of(request)) or ""
        address = f"http://{f'[{host}]' if ':' in host else host}:{NGINX_PORT}"
        state, word = self._nginx_state.answer()
        cure = NGINX_CURE if word == "setup.nginx.broken" else ""
        return Hop("nginx", "nginx", address, state, word, start=start, cure=cure)

    def _address(self) -> str:
        """Return the address that the browser used."""
        return f"{request.scheme}://{self._caller.host_of(request)}{url_for('.page').rstrip('/')}"

    def _clawgate(self) -> Hop:
        server = self._config.server
        path = unix_path(request.environ.get("gunicorn.socket"))
        address = f"http://{server.host}:{self._port()}" if path is None else f"{UNIX}{path}"
        start = "clawgate --config config.yaml"
        return Hop("clawgate", "clawgate", address, "up", "setup.clawgate.up", __version__, start)

    def _ollama(self) -> Hop:
        upstream = self._upstream.answer()
        address, start = self._config.model.endpoint, "clawgate embedded" if upstream.is_embedded else "ollama serve"
        if upstream.reachable:
            return Hop("ollama", "Ollama", address, "up", "setup.ollama.up", upstream.version or "", start)
        finding = upstream.finding
        if finding is None or finding.kind == "refused":
            return Hop("ollama", "Ollama", address, "down", "setup.ollama.down", start=start, cure=start)
        return Hop("ollama", "Ollama", address, "down", f"setup.ollama.{finding.kind}", detail=finding.detail)

    def _model(self) -> Hop:
        upstream, model = self._upstream.answer(), self._config.model.model_name
        start = "" if upstream.is_embedded else f"ollama run {model}"
        if not upstream.reachable:
            return Hop("model", model, "", "unknown", "setup.model.unknown", start=start)
        if upstream.model_ready:
            return Hop("model", model, "", "up", "setup.model.up", start=start)
        return Hop("model", model, "", "down", "setup.model.down", start=start, cure=f"ollama pull {model}")

    def _ports(self) -> list[tuple[int | str, str]]:
        endpoint = urlsplit(self._config.model.endpoint)
        ollama = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        return [(NGINX_PORT, "nginx"), (self._port(), "clawgate"), (ollama, "Ollama")]

    def _port(self) -> int | str:
        """Return the port that listens, or the Unix socket's path; with `server.port: 0` the system chose it."""
        path = unix_path(request.environ.get("gunicorn.socket"))
        if path is not None:
            return path
        return self._config.server.port or int(request.environ.get("SERVER_PORT", 0))

    def _shown(self, setting: Setting) -> str | None:
        """Give a setting's value as text; None for a secret that is set."""
        value = setting.of(self._config)
        if value in (None, ""):
            return "–"
        if setting.hides(value):
            return None
        if setting.is_mapping:
            return json.dumps(dict(value), ensure_ascii=False)
        if isinstance(value, tuple):
            return ", ".join(value) or "[]"
        return (
            f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
        )


def nginx_state(port: int, prefix: str = "") -> tuple[State, str]:
    """Ask whether nginx answers on this machine's port, and whether clawgate is behind it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=NGINX_TIMEOUT_S)
    try:
        connection.request("GET", f"{prefix}/healthz")
        response = connection.getresponse()
        if not (response.getheader("Server") or "").startswith("nginx"):
            return "unknown", "setup.nginx.unknown"
        is_through = response.status == http.client.OK
        return ("bypassed", "setup.nginx.bypassed") if is_through else ("down", "setup.nginx.broken")
    except http.client.HTTPException:
        return "unknown", "setup.nginx.unknown"
    except OSError:
        return "down", "setup.nginx.down"
    finally:
        connection.close()
