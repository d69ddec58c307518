"""What operators and the page ask: does the process live, is it ready, what is the state of the chain."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, jsonify

from clawgate import __version__
from clawgate.config import Config
from clawgate.ollama.state import Probe, UpstreamState
from clawgate.relay.desk import Desk


class HealthRoutes:
    """Handlers that say nothing private: no address, no path, no session."""

    def __init__(self, config: Config, desk: Desk, probe: Probe[UpstreamState]) -> None:
        self._config = config
        self._desk = desk
        self._probe = probe

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        blueprint.add_url_rule("/api/status", "status", self.status)
        blueprint.add_url_rule("/healthz", "healthz", self.healthz)
        blueprint.add_url_rule("/readyz", "readyz", self.readyz)

    def status(self) -> Response:
        """Show the chain's state."""
        return jsonify(
            model=self._config.model.model_name,
            provider=self._config.model.provider,
            upstream=msgspec.to_builtins(self._probe.state()),
            streams=self._desk.streams,
            max_streams=self._config.server.max_streams,
            version=__version__,
        )

    def healthz(self) -> Response:
        """Say that the process lives."""
        return jsonify(status="ok")

    def readyz(self) -> Response:
        """Say whether a chat sent now would be answered."""
        reason = None
        if self._desk.is_draining:
            reason = "shutting_down"
        elif not self._probe.state().reachable:
            reason = "upstream_unreachable"
        response = jsonify(status="unavailable", reason=reason) if reason else jsonify(status="ready")
        response.status_code = 503 if reason else 200
        return response
