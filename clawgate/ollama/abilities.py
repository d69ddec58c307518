"""The abilities of the models that a request may name: asked of Ollama in the background, and seldom.

`GET /api/status` and the chat page tell them. Neither waits: until Ollama has said, an ability is not known. A request
whose own form depends on an ability does wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.finding import Unreached
from clawgate.ollama.silence import BackgroundCall, full_name

QUESTION_TIMEOUT_S = 2.0
APART_S = 2.0
"""At least so long passes from one round of questions to the next, however many want to know."""
KEPT_S = 60.0
"""A model of the same name may be another one by then."""
UNKNOWN_S = 10.0
"""A model that Ollama does not describe is asked for again after so long: it may have been pulled."""
MAX_ASKING = 4
"""A thread that waits here has no slot of a stream: so many may, and further requests go with what is known."""
MAX_MODELS = 64
"""So many models are asked for; the abilities of the rest stay unknown."""


class Abilities(msgspec.Struct, frozen=True):
    """One model's abilities; None where Ollama has not said, or does not say."""

    thinking: bool | None = None
    vision: bool | None = None


UNKNOWN = Abilities()


class KnownAbilities:
    """The abilities of some models, and at most one round of questions on its way.

    Threads: any; `_lock` guards the round and is held for memory only. A round, and who waits, replace single entries.
    """

    def __init__(
        self, client: OllamaClient, models: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask nothing yet."""
        self._client = client
        self._models = tuple(dict.fromkeys(models))
        self._clock = clock
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_ASKING)
        self._is_asking = False
        self._next_round_at = self._clock()
        self._known: dict[str, Abilities] = {}
        self._due_at: dict[str, float] = {}

    def all(self) -> dict[str, Abilities]:
        """Return what is known of each model, in the configuration's order; see to it that more is known soon."""
        self._begin_round()
        return {model: self._known.get(model, UNKNOWN) for model in self._models}

    def of(self, model: str) -> Abilities:
        """Return what is known of one model."""
        return self.all().get(model, UNKNOWN)

    def asked(self, model: str) -> Abilities:
        """Return what is known of one model; where that is nothing, or old, ask Ollama first.

        This takes up to 2 s, and few wait at a time. Ollama's rules say whether the model is one of ours: the tag
        `latest` may be left out, letters may be capital.
        """
        name = next((each for each in self._models if full_name(each) == full_name(model)), None)
        if name is None:
            return UNKNOWN
        now = self._clock()
        if self._due_at.get(name, now) <= now and self._places.acquire(blocking=False):
            try:
                self._ask([name])
            finally:
                self._places.release()
        return self._known.get(name, UNKNOWN)

    def _begin_round(self) -> None:
        with self._lock:
            now = self._clock()
            if self._is_asking or now < self._next_round_at:
                return
            due = [model for model in self._models[:MAX_MODELS] if self._due_at.get(model, now) <= now]
            if not due:
                return
            self._is_asking = True
            self._next_round_at = now + APART_S
        BackgroundCall(lambda: self._ask(due), None, self._end_round)

    def _end_round(self) -> None:
        with self._lock:
            self._is_asking = False

    def _ask(self, models: list[str]) -> None:
        """Ask for each model; where one gets no answer, the others would wait for as long: they come next time."""
        for model in models:
            try:
                shown = self._client.ask("/api/show", QUESTION_TIMEOUT_S, {"model": model})
                told = abilities_in(shown)
            except Unreached:
                self._due_at[model] = self._clock() + UNKNOWN_S
                return
            except UpstreamFailure:
                told = UNKNOWN
            self._known[model] = told
            self._due_at[model] = self._clock() + (UNKNOWN_S if told == UNKNOWN else KEPT_S)


def abilities_in(shown: Any) -> Abilities:
    """Read a model's description. Source: Ollama docs/api.md, "Show Model Information", `capabilities`."""
    capabilities = shown.get("capabilities") if isinstance(shown, dict) else None
    if not isinstance(capabilities, list):
        return UNKNOWN
    return Abilities("thinking" in capabilities, "vision" in capabilities)
