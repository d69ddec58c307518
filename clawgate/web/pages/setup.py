"""The setup page: the chain as an operator sees it, its state, its commands and the configuration in force.

A browser cannot send the token with a link. Without the token the page is a 401 that asks for it, and its script then
fetches the same address with it. The script renews the states the same way. Addresses, commands and the configuration
are for the operator: a browser on this machine, or a client that has the token. Others see the states alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from shlex import quote
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from flask import Blueprint, Response, request, url_for

from clawgate import __version__
from clawgate.addresses import UNIX, name_of
from clawgate.config import Config, ModelConfig, Setting, gateway_settings
from clawgate.errors import Unauthorized
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.loaded import Loaded, loaded
from clawgate.ollama.state import CachedQuestion, UpstreamState
from clawgate.sockets import unix_path
from clawgate.web.door.caller import Caller
from clawgate.web.door.hosts import Hosts
from clawgate.web.door.responses import demand_token, error_response
from clawgate.web.pages import nginx
from clawgate.web.pages.appearance import Appearance

State = Literal["up", "down", "bypassed", "off", "unknown"]
"""`down` is a fault; `bypassed` and `off` are none: the chain works without that hop."""
GIGABYTE = 1e9

Fact = tuple[str, dict[str, str]]
"""The key of a sentence's words, and what is put into it."""


class Hop(NamedTuple):
    """One link of the chain; `word` is the key of the words for its state, `title` one where it begins with `setup.`.

    start, cure, better: commands to start it, to mend it, to get a better one.
    """

    name: str
    title: str
    address: str
    state: State
    word: str
    version: str = ""
    start: str = ""
    cure: str = ""
    detail: str = ""
    better: str = ""
    facts: tuple[Fact, ...] = ()

    @property
    def public(self) -> Hop:
        """It without what is the operator's alone."""
        word = self.word
        if self.name == "ollama" and self.detail:
            word = "setup.ollama.stranger"
        if self.name == "nginx" and self.state == "off":  # what is installed here, and what else answers
            word = "setup.nginx.unused"
        return self._replace(address="", start="", cure="", detail="", better="", facts=(), word=word)


class SetupRoutes:
    """`GET /setup`."""

    def __init__(
        self,
        config: Config,
        client: OllamaClient,
        upstream: CachedQuestion[UpstreamState],
        appearance: Appearance,
        caller: Caller,
        hosts: Hosts,
        is_store_available: Callable[[], bool],
    ) -> None:
        """is_store_available: tells whether the place of the sessions, where that is another server, can be asked."""
        self._is_store_available = is_store_available
        self._config = config
        self._upstream = upstream
        self._appearance = appearance
        self._caller = caller
        self._hosts = hosts
        self._nginx_found = CachedQuestion(lambda: nginx.found(nginx.PORT, config.server.path_prefix), nginx.NOT_ASKED)
        self._loaded = CachedQuestion(partial(loaded, client, config.model.model_name), Loaded())

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/setup", "setup", self.setup)
        blueprint.register_error_handler(Unauthorized, self.answer_locked)

    def setup(self) -> Response:
        """Render the page."""
        hops = [self._browser(), self._nginx(), self._clawgate(), *self._store(), self._ollama(), self._model()]
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
            settings=[(setting.name, self._shown(setting), setting.variable) for setting in gateway_settings()],
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
        return Hop("browser", "setup.browser", self._address(), "up", "setup.browser.up")

    def _nginx(self) -> Hop:
        if request.headers.get("X-Forwarded-For"):
            return Hop("nginx", "nginx", self._address(), "up", "setup.nginx.up")
        host = name_of(self._caller.host_of(request)) or ""
        address = f"http://{f'[{host}]' if ':' in host else host}:{nginx.PORT}"
        found = self._nginx_found.answer()
        state: State = {"bypassed": "bypassed", "broken": "down", "asked": "unknown"}.get(found.word, "off")  # type: ignore[assignment]
        word = f"setup.nginx.{found.word}"
        detail = found.server or (self._own_address() if found.is_fault else "")
        return Hop("nginx", "nginx", address, state, word, start=found.start, cure=found.cure, detail=detail)

    def _address(self) -> str:
        """Return the address that the browser used."""
        return f"{request.scheme}://{self._caller.host_of(request)}{url_for('.page').rstrip('/')}"

    def _clawgate(self) -> Hop:
        start = "clawgate --config config.yaml"
        return Hop("clawgate", "clawgate", self._own_address(), "up", "setup.clawgate.up", __version__, start)

    def _own_address(self) -> str:
        """Return where the gateway itself listens."""
        path = unix_path(request.environ.get("gunicorn.socket"))
        return f"http://{self._config.server.host}:{self._port()}" if path is None else f"{UNIX}{path}"

    def _store(self) -> Iterator[Hop]:
        """Yield the place of the sessions, where that is another server."""
        if self._config.session.backend == "redis":
            if self._is_store_available():
                yield Hop("store", "Redis", "", "up", "setup.store.up")
            else:
                cure = "clawgate check --config config.yaml"
                yield Hop("store", "Redis", "", "down", "setup.store.down", cure=cure)

    def _ollama(self) -> Hop:
        upstream = self._upstream.answer()
        address, start = self._config.model.endpoint, "ollama serve"
        if upstream.is_embedded:
            better = f"ollama pull {ModelConfig().model_name} && clawgate up"
            words, version = "setup.embedded.up", upstream.version or ""
            return Hop("ollama", "setup.embedded", address, "up", words, version, better=better)
        if upstream.reachable:
            return Hop("ollama", "Ollama", address, "up", "setup.ollama.up", upstream.version or "", start)
        finding = upstream.finding
        if finding is None or finding.kind == "refused":
            return Hop("ollama", "Ollama", address, "down", "setup.ollama.down", start=start, cure=start)
        return Hop("ollama", "Ollama", address, "down", f"setup.ollama.{finding.kind}", detail=finding.detail)

    def _model(self) -> Hop:
        upstream, model = self._upstream.answer(), self._config.model.model_name
        if not upstream.reachable:
            return Hop("model", model, "", "unknown", "setup.model.unknown")
        if upstream.is_embedded:
            ready: tuple[State, str] = ("up", "setup.embedded.model.up")
            state, word = ready if upstream.model_ready else ("down", "setup.embedded.model.down")
            return Hop("model", model, "", state, word, facts=(*memory_of(self._loaded.answer()), ONE_AT_A_TIME))
        if upstream.model_ready:
            facts = (*memory_of(self._loaded.answer()), UNTOLD_PARALLEL)
            return Hop("model", model, "", "up", "setup.model.up", start=f"ollama run {quote(model)}", facts=facts)
        return Hop("model", model, "", "down", "setup.model.down", cure=f"ollama pull {quote(model)}")

    def _ports(self) -> list[tuple[int | str, str]]:
        endpoint = urlsplit(self._config.model.endpoint)
        ollama = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        return [(nginx.PORT, "nginx"), (self._port(), "clawgate"), (ollama, "Ollama")]

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


ONE_AT_A_TIME: Fact = ("setup.embedded.parallel", {})
UNTOLD_PARALLEL: Fact = ("setup.model.parallel", {})


def memory_of(model: Loaded) -> tuple[Fact, ...]:
    """Say how Ollama holds the model in memory, as far as it tells."""
    if not model.is_known:
        return ()
    if not model.is_loaded:
        return (("setup.model.not_loaded", {}),)
    facts: list[Fact] = []
    if model.size_bytes and model.gpu_bytes is not None:
        on_gpu = model.gpu_bytes / model.size_bytes
        word = "gpu" if on_gpu == 1 else "split" if on_gpu else "cpu"
        values = {"size": shown_size(model.size_bytes), "percent": f"{on_gpu:.0%}".rstrip("%")}
        facts.append((f"setup.model.loaded.{word}", values))
    if model.context_tokens:
        facts.append(("setup.model.context", {"tokens": f"{model.context_tokens:,}"}))
    return tuple(facts)


def shown_size(size_bytes: int) -> str:
    """Write a size in decimal units, as `ollama ps` does."""
    return f"{size_bytes / GIGABYTE:.1f} GB" if size_bytes >= GIGABYTE else f"{size_bytes / 1e6:.0f} MB"
