"""The gauge of one answer: the size of the context in which it is made."""

from __future__ import annotations

import math

from clawgate.ollama.client import OllamaClient
from clawgate.ollama.context import ContextSizes
from clawgate.ollama.ndjson import Frame
from clawgate.relay.prompt import Prompt
from clawgate.relay.stats import Stats, stats_of

LOAD_S = 0.5
"""A model that is loaded takes 0.1 s at the most until it begins; one that has to be loaded takes longer."""
KEPT_S = 60.0
"""Ollama's word holds for so long, unless the model was loaded since: then its context may have another size."""
NANOSECONDS = 1e-9


class ContextGauge:
    """Knows the size from the request, or has Ollama asked for it while the answer is being made.

    An end never waits for the size: where it is not known by then, it is not told.

    Threads: the one that drives the pump.
    """

    __slots__ = ("_asked_at", "_fixed", "_model", "_sizes")

    def __init__(self, prompt: Prompt, sizes: ContextSizes | None) -> None:
        """Take the sizes that all runs share; None where nobody is to be asked."""
        self._fixed = prompt.num_ctx
        self._model = prompt.model
        self._sizes = sizes
        self._asked_at = math.inf

    def note_first_frame(self, client: OllamaClient, asked_at: float, now: float) -> None:
        """Note that a request's first frame has come: the model is loaded."""
        if self._fixed is None and self._sizes is not None:
            self._asked_at = asked_at
            self._sizes.ask(client, asked_at if now - asked_at >= LOAD_S else now - KEPT_S, now)

    def stats(self, frame: Frame, client: OllamaClient) -> Stats:
        """Return the figures of the last frame."""
        return stats_of(frame, self._fixed or self._size(frame, client))

    def _size(self, frame: Frame, client: OllamaClient) -> int | None:
        if self._sizes is None:
            return None
        was_loaded = (frame.load_duration or 0) * NANOSECONDS >= LOAD_S
        return self._sizes.size(client, self._model, self._asked_at if was_loaded else -math.inf)
