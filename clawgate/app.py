"""Builds the gateway: each part once, handed on to the parts above it. There is no other shared state."""

from __future__ import annotations

from typing import NamedTuple

from flask import Blueprint, Flask

from clawgate.config import Config
from clawgate.ollama.client import OllamaClient
from clawgate.relay.desk import Desk
from clawgate.sessions import MemoryStore
from clawgate.web.chat import ChatRoutes
from clawgate.web.guard import Guard
from clawgate.web.health import HealthRoutes, Probe
from clawgate.web.page import STATIC, Look, PageRoutes, templates
from clawgate.web.render import RenderRoutes
from clawgate.web.setup import SetupRoutes


class Gateway(NamedTuple):
    """The parts that live as long as the process; `app.extensions["clawgate"]`."""

    config: Config
    desk: Desk


def build(config: Config) -> tuple[Gateway, Blueprint]:
    """Build the parts and the blueprint that serves them, which its application has yet to guard."""
    client = OllamaClient(config.model.endpoint)
    store = MemoryStore(config.session.max_sessions, config.session.ttl_seconds, config.session.max_context_bytes)
    desk = Desk(store, client, config.server.max_streams, config.stream)
    blueprint = Blueprint(
        "clawgate", __name__, template_folder=templates(), static_folder=STATIC, static_url_path="/static"
    )
    ChatRoutes(config, desk).install(blueprint)
    probe = Probe(client, config.model.model_name)
    HealthRoutes(config, desk, probe).install(blueprint)
    look = Look()
    PageRoutes(config, client, look).install(blueprint)
    RenderRoutes(config.server).install(blueprint)
    SetupRoutes(config, probe, look).install(blueprint)
    return Gateway(config, desk), blueprint


def create_blueprint(config: Config | None = None) -> Blueprint:
    """Build the API as a blueprint, for another application's `register_blueprint(…, url_prefix="/llm")`."""
    gateway, blueprint = build(config or Config())
    Guard(gateway.config.server).install(blueprint)
    return blueprint


def create_app(config: Config | None = None) -> Flask:
    """Build the whole gateway; without a config, every setting has its default."""
    gateway, blueprint = build(config or Config())
    app = Flask("clawgate", static_folder=None)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.register_blueprint(blueprint)
    Guard(gateway.config.server).install(app)
    app.extensions["clawgate"] = gateway
    return app
