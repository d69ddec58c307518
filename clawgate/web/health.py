"""What operators and the page ask: does the process live, is it ready, what is the state of the chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import msgspec
from flask import Blueprint, Response, jsonify

from clawgate import __version__
from clawgate.config import Config
from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import full_name
from clawgate.relay.desk import Desk

ASK_EVERY_S = 2.0
ASK_TIMEOUT_S = 1.5
FIRST_ANSWER_S = 0.5
"""How long others wait for the very first answer: a neighbour that hangs must not take their threads."""
MAX_WAITING = 8
"""How many of them wait: the rest are told at once that it is not known yet, so that threads are left."""
_T = TypeVar("_T")


class UpstreamState(msgspec.Struct, frozen=True):
    """What Ollama said of itself; model_ready: the configured model is there to be loaded."""

    reachable: bool
    version: str | None = None
    model_ready: bool = False


class Probe(Generic[_T]):
    """Asks a neighbour in the chain how it is, at most every 2 s however many ask.

    Threads: `_asking` is held by the one thread that asks; the others take the last answer. A few wait for the very
    first one; they get `not_known` when that takes too long, and everybody else gets it at once.
    """

    def __init__(self, ask: Callable[[], _T], not_known: _T, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._not_known = not_known
        self._clock = clock
        self._asking = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._state: _T | None = None
        self._asked_at = 0.0

    def state(self) -> _T:
        """Return the neighbour's state, at most some seconds old."""
        if self._state is not None and self._clock() < self._asked_at + ASK_EVERY_S:
            return self._state
        if not self._may_ask():
            return self._not_known if self._state is None else self._state
        try:
            if self._state is None or self._clock() >= self._asked_at + ASK_EVERY_S:
                self._state = self._ask()
                self._asked_at = self._clock()
            return self._state
        finally:
            self._asking.release()

    def _may_ask(self) -> bool:
        if self._state is not None or not self._places.acquire(blocking=False):
            return self._asking.acquire(blocking=False)
        try:
            return self._asking.acquire(timeout=FIRST_ANSWER_S)
        finally:
            self._places.release()


def ask(client: OllamaClient, model: str) -> UpstreamState:
    """Ask Ollama for its version and whether it has the model."""
    try:
        version = client.ask("/api/version", ASK_TIMEOUT_S)["version"]
        names = [str(entry["name"]) for entry in client.ask("/api/tags", ASK_TIMEOUT_S)["models"]]
    except (UpstreamFailure, KeyError, TypeError):
        return UpstreamState(reachable=False)
    return UpstreamState(reachable=True, version=str(version), model_ready=full_name(model) in map(full_name, names))


def probe_of(client: OllamaClient, model: str) -> Probe[UpstreamState]:
    """Make the probe of Ollama."""
    return Probe(partial(ask, client, model), UpstreamState(reachable=False))


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
