"""What is known of Ollama: whether it is there, and what the model can do. Each is asked seldom, however many ask.

The status, the pages, `clawgate check` and `clawgate up` read it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import msgspec

from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import full_name

ASK_EVERY_S = 2.0
ASK_TIMEOUT_S = 1.5
ABILITIES_TIMEOUT_S = 0.5
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


class Abilities:
    """Knows whether the model can think: asks Ollama until it has said so, at most every 2 s, never for long.

    Threads: `_asking` is held by the one that asks; the others take what is known.
    """

    def __init__(self, client: OllamaClient, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._model = model
        self._clock = clock
        self._asking = threading.Lock()
        self._abilities: frozenset[str] | None = None
        self._asked_at = -ASK_EVERY_S

    def thinks(self) -> bool | None:
        """Say whether it can think; None while Ollama has not said."""
        if self._abilities is None and self._asking.acquire(blocking=False):
            try:
                if self._clock() >= self._asked_at + ASK_EVERY_S:
                    self._abilities = self._ask()
                    self._asked_at = self._clock()
            finally:
                self._asking.release()
        return None if self._abilities is None else "thinking" in self._abilities

    def _ask(self) -> frozenset[str] | None:
        try:
            said = self._client.ask("/api/show", ABILITIES_TIMEOUT_S, {"model": self._model})
            return frozenset(map(str, said["capabilities"]))
        except (UpstreamFailure, KeyError, TypeError):
            return None
