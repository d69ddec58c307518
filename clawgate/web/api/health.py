"""Health for operators and the page: the process lives, it is ready, the state of the chain."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import UNSET

from clawgate import __version__
from clawgate.config import Config
from clawgate.ollama.abilities import KnownAbilities
from clawgate.ollama.state import CachedQuestion, UpstreamState
from clawgate.relay.desk import Desk
from clawgate.web.api.answers import Health, Model, NotReady, Ready, Status, Upstream
from clawgate.web.door.responses import json_response


class HealthRoutes:
    """Handlers whose answers hold nothing private: no address, no path, no session."""

    def __init__(
        self, config: Config, desk: Desk, upstream: CachedQuestion[UpstreamState], abilities: KnownAbilities
    ) -> None:
        self._config = config
        self._desk = desk
        self._upstream = upstream
        self._abilities = abilities

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        blueprint.add_url_rule("/api/status", "status", self.status)
        blueprint.add_url_rule("/healthz", "healthz", self.healthz)
        blueprint.add_url_rule("/readyz", "readyz", self.readyz)

    def status(self) -> Response:
        """Show the chain's state."""
        return json_response(
            Status(
                model=self._config.model.model_name,
                provider=self._config.model.provider,
                upstream=_shown(self._upstream.answer()),
                streams=self._desk.streams,
                max_streams=self._desk.max_streams,
                version=__version__,
                models=[Model(name, can.thinking, can.vision) for name, can in self._abilities.all().items()],
            )
        )

    def healthz(self) -> Response:
        """Say that the process lives."""
        return json_response(Health("ok"))

    def readyz(self) -> Response:
        """Say whether a chat sent now would be answered."""
        if self._desk.is_draining:
            return json_response(NotReady("unavailable", "shutting_down"), 503)
        if self._desk.is_store_missing:
            return json_response(NotReady("unavailable", "session_store_unavailable"), 503)
        if not self._upstream.answer().reachable:
            return json_response(NotReady("unavailable", "upstream_unreachable"), 503)
        return json_response(Ready("ready"))


def _shown(state: UpstreamState) -> Upstream:
    problem = state.finding.kind if state.finding is not None else UNSET
    return Upstream(state.reachable, state.version, state.model_ready, state.is_embedded, problem)
