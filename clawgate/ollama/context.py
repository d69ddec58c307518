"""The sizes of the contexts with which Ollama has loaded its models: asked in the background, and seldom.

A request or the configuration may set `num_ctx`. Without either, Ollama chooses: by the model, by OLLAMA_CONTEXT_LENGTH
or by the GPU's memory. `/api/ps` tells what it chose. relay/gauge.py is the only caller.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import QUESTION_TIMEOUT_S, BackgroundCall, full_name

APART_S = 2.0
"""At least so long passes from one question to the next, however many answers begin."""


class _Known(NamedTuple):
    client: OllamaClient | None
    asked_at: float
    sizes: Mapping[str, int]


class ContextSizes:
    """The last answer of `/api/ps`, and at most one question on its way.

    Units: moments are on the caller's clock.
    Threads: any; `_lock` guards everything here and is held for memory only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = _Known(None, -math.inf, {})
        self._is_asking = False

    def ask(self, client: OllamaClient, newer_than: float, now: float) -> None:
        """See to it that the answer of this Ollama is newer than that; returns at once, and asks in the background."""
        with self._lock:
            known = self._known
            is_due = known.client is not client or known.asked_at < min(newer_than, now - APART_S)
            if self._is_asking or not is_due:
                return
            self._is_asking = True
        BackgroundCall(partial(self._ask, client, now), None, wake=self._finish)

    def _ask(self, client: OllamaClient, now: float) -> None:
        sizes: dict[str, int] = {}
        try:
            sizes = _loaded(client)
        finally:
            with self._lock:
                self._known = _Known(client, now, sizes)

    def _finish(self) -> None:
        with self._lock:
            self._is_asking = False

    def size(self, client: OllamaClient, model: str, newer_than: float) -> int | None:
        """Return the size for a model, where an answer of this Ollama that is newer than that has told it."""
        known = self._known
        is_told = known.client is client and known.asked_at >= newer_than
        return known.sizes.get(full_name(model)) if is_told else None


def _loaded(client: OllamaClient) -> dict[str, int]:
    """Ask Ollama for the sizes of the models that are loaded; older versions do not tell them."""
    try:
        listed = client.ask("/api/ps", QUESTION_TIMEOUT_S)["models"]
        sizes = {full_name(str(entry["name"])): entry.get("context_length") for entry in listed}
    except (UpstreamFailure, KeyError, TypeError, AttributeError):
        return {}
    return {name: size for name, size in sizes.items() if type(size) is int and size > 0}
