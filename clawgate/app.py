"""The building of the gateway: each part is made once and handed to the parts above it. There is no other shared state.

A reload changes the parts that hold something (sessions, the desk with its runs), keeps the parts that count requests,
and builds the application in front of them anew: each reader of a setting gets the new one there, and no request sees
half of a change.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from flask import Blueprint, Flask, Request

from clawgate.carried import folder
from clawgate.config import Change, Config, ServerConfig, change_between
from clawgate.errors import ConfigError
from clawgate.ollama.abilities import KnownAbilities
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.state import CachedQuestion, UpstreamState, upstream_state
from clawgate.relay.desk import Desk
from clawgate.relay.keys import KnownKeys
from clawgate.relay.peers import Alone, Peers
from clawgate.relay.replays import Keeping
from clawgate.relay.slots import OwnSlots, SharedSlots
from clawgate.sessions import Bounds, MemoryStore
from clawgate.sockets import Clients
from clawgate.telemetry.answers import AnswerLog
from clawgate.telemetry.ids import KEY_BYTES
from clawgate.telemetry.metrics import Metrics
from clawgate.web.anthropic import errors as anthropic
from clawgate.web.anthropic.routes import MessagesRoutes
from clawgate.web.api.chat import ChatRoutes
from clawgate.web.api.health import HealthRoutes
from clawgate.web.api.metrics import MAX_SCRAPES, MetricsRoutes, count_refusals
from clawgate.web.api.sessions import MAX_DIGESTS, SessionRoutes
from clawgate.web.described.openapi import OpenApiRoutes
from clawgate.web.door.accepting import EVENT_STREAM, takes
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.answering import Answering
from clawgate.web.door.caller import Caller
from clawgate.web.door.concurrency import ConcurrencyLimit
from clawgate.web.door.guard import Guard
from clawgate.web.door.hosts import Hosts
from clawgate.web.door.passing import Passing
from clawgate.web.door.prefix import PathPrefix
from clawgate.web.door.responses import ErrorShape, shape_errors
from clawgate.web.ollama.errors import shape as ollama_shape
from clawgate.web.ollama.routes import OllamaRoutes
from clawgate.web.openai import errors as openai
from clawgate.web.openai.responses import ResponsesRoutes
from clawgate.web.openai.routes import OpenAIRoutes
from clawgate.web.pages.appearance import Appearance
from clawgate.web.pages.chat import PageRoutes
from clawgate.web.pages.files import Files
from clawgate.web.pages.render import MAX_RENDERS, RenderRoutes
from clawgate.web.pages.setup import SetupRoutes

if TYPE_CHECKING:
    from clawgate.redis.checking import Standing
    from clawgate.redis.store import RedisStore


class Entrance(NamedTuple):
    """The checks of a request's origin: its caller, and the name that it has for us."""

    caller: Caller
    hosts: Hosts


class Gateway:
    """The parts that live as long as the process, and the configuration in force; `app.extensions["clawgate"]`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.log_key = secrets.token_bytes(KEY_BYTES)  # kept here, so that a reload and the next worker keep it
        self.via = f"clawgate-{secrets.token_hex(8)}"
        self.client = OllamaClient.of(config.model, self.via)
        shared = _in_memory(config) if config.session.backend == "memory" else _in_redis(config)
        self._store = shared.store
        self.clients = Clients()
        self.render_limit = ConcurrencyLimit(MAX_RENDERS, "texts are being rendered")
        self.digest_limit = ConcurrencyLimit(MAX_DIGESTS, "long sessions are being read")
        self.scrape_limit = ConcurrencyLimit(MAX_SCRAPES, "scrapes of the metrics are running")
        self._slots = _slots(config.server)
        self.metrics = Metrics(lambda: self.desk.standing(), AllowedModels(config.model).names, config.server.workers)
        self.desk = Desk(
            self._store,
            self.client,
            config.server.max_streams,
            config.stream,
            (AnswerLog(), self.metrics),
            keeping=_keeping(config),
            slots=self._slots,
            peers=shared.peers,
            keys=shared.keys,
            is_store_required=config.session.redis_required,
        )

    @property
    def is_store_available(self) -> bool:
        """False while the sessions cannot be asked for."""
        return self._store.is_available

    def join(self, place: int) -> None:
        """Take a place, from 0 on, among the workers of one master; called in the worker before anything else."""
        if isinstance(self._slots, SharedSlots):
            self._slots.join(place)
            self.metrics.join(place)

    def clear(self, place: int) -> None:
        """Clear the place of a worker that has ended; called in the master. Its counts stay."""
        if isinstance(self._slots, SharedSlots):
            self._slots.clear(place)
            self.metrics.clear(place)

    def tell(self) -> None:
        """Tell the other workers how things stand here; called once a second."""
        self.metrics.tell(self.desk.in_hand())

    def start(self) -> None:
        """Begin to work with other processes; call in the process that serves, after a fork."""
        self.desk.start()

    def stop(self) -> None:
        """Work with no other process any more, once all answers are over."""
        self.desk.stop()

    def reconfigure(self, config: Config) -> Change:
        """Put another configuration in force, as far as a running process can.

        A running answer keeps its model and its limits; it asks the new address where it has to ask again.
        """
        change = change_between(self.config, config)
        self.config = config = change.config
        if self.client.endpoint != config.model.endpoint:
            self.via = f"clawgate-{secrets.token_hex(8)}"
        self.client = OllamaClient.of(config.model, self.via)
        self.metrics.name_models(AllowedModels(config.model).names)
        self._store.reconfigure(_bounds(config))
        required = config.session.redis_required
        self.desk.reconfigure(self.client, config.stream, _keeping(config), is_store_required=required)
        return change


def _slots(server: ServerConfig) -> OwnSlots | SharedSlots:
    """Make the slots of the answers; several workers share theirs, so that none is refused while another has room."""
    return OwnSlots(server.max_streams) if server.workers == 1 else SharedSlots(server.workers, server.max_streams)


class _Shared(NamedTuple):
    """The parts that know other processes, where there are any; without keys the desk keeps its own."""

    store: MemoryStore | RedisStore
    peers: Peers
    keys: KnownKeys | None = None


def _in_memory(config: Config) -> _Shared:
    return _Shared(MemoryStore(_bounds(config)), Alone())


def _in_redis(config: Config) -> _Shared:
    """Build what several processes share; nothing connects before it is used.

    Errors: ConfigError.
    """
    try:
        from clawgate.redis.keys import RedisKeys
        from clawgate.redis.link import Link
        from clawgate.redis.logs import Logs
        from clawgate.redis.peers import RedisPeers
        from clawgate.redis.store import RedisStore
    except ImportError as error:
        raise ConfigError("session.backend: redis needs redis-py: pip install 'clawgate[redis]'") from error
    link = Link(config.session.redis_url or "", config.session.redis_prefix)
    store = RedisStore(link, _bounds(config))
    logs = Logs(link, store.ttl_in_force, store.max_log_bytes)
    peers = RedisPeers(link, store, logs, secrets.token_hex(4))
    return _Shared(store, peers, RedisKeys(link, store.has, store.ttl_in_force))


def store_standing(config: Config) -> Standing | None:
    """Ask the machine that keeps the sessions what it is, and whether it can be used; None for this process's memory.

    Errors: ConfigError where session.redis_url has an option that redis-py does not know.
    """
    if config.session.backend == "memory":
        return None
    from clawgate.redis.checking import standing_of

    return standing_of(config)


def _bounds(config: Config) -> Bounds:
    """Return the store's bounds; the largest request still fits on top of a kept session."""
    kept = config.session
    largest = config.server.max_body_bytes
    return Bounds(kept.max_sessions, kept.ttl_seconds, kept.max_context_bytes, kept.max_image_bytes, largest)


def _keeping(config: Config) -> Keeping:
    """Return the bounds of what is kept for readers that come late; sessions with an answer in flight count apart."""
    in_flight = config.server.max_streams * config.server.workers
    return Keeping(config.session.max_sessions + in_flight, config.session.max_context_bytes)


def entrance_of(server: ServerConfig, *, is_own_port: bool) -> Entrance:
    """Build the checks that both the guard and the pages use."""
    return Entrance(Caller(server.trusted_proxies), Hosts(server, is_own_port=is_own_port))


def build(gateway: Gateway, entrance: Entrance) -> Blueprint:
    """Build the blueprint in front of these parts, not yet guarded."""
    config, desk = gateway.config, gateway.desk
    blueprint = Blueprint("clawgate", __name__, template_folder=folder("templates"))
    page_files = Files()
    page_files.install(blueprint)
    answering = Answering(config.server.max_body_bytes, config.model, desk, gateway.clients, gateway.via)
    passing = Passing(desk.passages, gateway.clients, gateway.via)
    ollama = OllamaRoutes(config, answering, passing, gateway.clients)
    ollama.install(blueprint)
    ChatRoutes(config.model, answering, ollama.chat).install(blueprint)
    OpenAIRoutes(config.model, config.server.max_body_bytes, answering, passing, gateway.clients).install(blueprint)
    SessionRoutes(config.server, desk, gateway.clients, gateway.digest_limit).install(blueprint)
    ask_upstream = partial(upstream_state, gateway.client, config.model.model_name)
    upstream = CachedQuestion(ask_upstream, UpstreamState(reachable=False))
    ResponsesRoutes(config.model, answering).install(blueprint)
    abilities = KnownAbilities(gateway.client, AllowedModels(config.model).names)
    MessagesRoutes(config.model, answering, abilities).install(blueprint)
    HealthRoutes(config, desk, upstream, abilities).install(blueprint)
    MetricsRoutes(gateway.metrics, gateway.scrape_limit).install(blueprint)
    appearance = Appearance(page_files)
    PageRoutes(config, abilities, appearance).install(blueprint)
    RenderRoutes(config.server, gateway.clients, gateway.render_limit, gateway.metrics.note_render).install(blueprint)
    SetupRoutes(
        config,
        gateway.client,
        upstream,
        appearance,
        entrance.caller,
        entrance.hosts,
        lambda: gateway.is_store_available,
    ).install(blueprint)
    OpenApiRoutes(config.server, entrance.hosts).install(blueprint)
    return blueprint


SHAPES: dict[str, ErrorShape] = {"anthropic": anthropic.shape, "ollama": ollama_shape, "openai": openai.shape}
"""The shapes of errors by the first word of an endpoint's name: the wire format's."""
ADDRESSES: tuple[tuple[str, ErrorShape], ...] = (("/v1/messages", anthropic.shape), ("/v1/", openai.shape))
"""The shapes of errors at addresses, or for methods, that no route has; the first one that is in the path counts."""


def shape_of(request: Request) -> ErrorShape | None:
    """Choose the shape of a request's error: its route's wire format says it, or else its address."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    if endpoint == "chat" and not takes(request, EVENT_STREAM):
        return ollama_shape
    by_address = (shape for address, shape in ADDRESSES if address in f"{request.path}/")
    return SHAPES.get(endpoint.partition("_")[0]) if endpoint else next(by_address, None)


def guard(gateway: Gateway, entrance: Entrance, routes: Blueprint | Flask) -> None:
    """Put the request's id and every check in front of these routes."""
    shape_errors(routes, shape_of)
    entrance.caller.install(routes)
    Guard(gateway.config.server, entrance.hosts).install(routes)
    count_refusals(gateway.metrics, routes)


def create_blueprint(config: Config | None = None) -> Blueprint:
    """Build the API as a blueprint, for another application's `register_blueprint(…, url_prefix="/llm")`."""
    gateway = Gateway(config or Config())
    entrance = entrance_of(gateway.config.server, is_own_port=False)
    blueprint = build(gateway, entrance)
    guard(gateway, entrance, blueprint)
    return blueprint


def create_app(config: Config | None = None) -> Flask:
    """Build the whole gateway; without a config, every setting has its default."""
    return application(Gateway(config or Config()))


def application(gateway: Gateway) -> Flask:
    """Build the application in front of a gateway's parts; a reload builds another."""
    app = Flask("clawgate", static_folder=None)
    entrance = entrance_of(gateway.config.server, is_own_port=True)
    app.register_blueprint(build(gateway, entrance))
    guard(gateway, entrance, app)
    app.extensions["clawgate"] = gateway
    if gateway.config.server.path_prefix:
        app.wsgi_app = PathPrefix(app, gateway.config.server.path_prefix)  # type: ignore[method-assign]
    return app


class Reloaded(NamedTuple):
    """The application that serves from now on, the changes, and the key of the log, which stays."""

    app: Flask
    change: Change
    log_key: bytes


def reloaded(app: Flask, config: Config) -> Reloaded:
    """Put another configuration in force behind an application, and build the one that takes its place."""
    gateway: Gateway = app.extensions["clawgate"]
    change = gateway.reconfigure(config)
    return Reloaded(application(gateway), change, gateway.log_key)
