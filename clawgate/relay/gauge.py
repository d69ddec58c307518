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
    """Has Ollama asked, while the answer is being made, for the size that the model is loaded with.

    The request's own `num_ctx` holds until Ollama has told another one since: it takes a size that is beyond the
    model's own down to that. An end never waits for the size: where it is not known by then, it is not told.

    Threads: the one that drives the pump.
    """

    __slots__ = ("_asked", "_asked_at", "_model", "_sizes")

    def __init__(self, prompt: Prompt, sizes: ContextSizes | None) -> None:
        """Take the sizes that all runs share; None where nobody is to be asked."""
        self._asked = prompt.num_ctx
        self._model = prompt.model
        self._sizes = sizes
        self._asked_at = math.inf

    def note_first_frame(self, client: OllamaClient, asked_at: float, now: float) -> None:
        """Note that a request's first frame has come: the model is loaded."""
        if self._sizes is not None:
            self._asked_at = asked_at if self._asked is None else now  # until now another size may have been loaded
            is_as_before = now - asked_at < LOAD_S and self._asked in (None, self._told(client, -math.inf))
            self._sizes.ask(client, now - KEPT_S if is_as_before else self._asked_at, now)

    def stats(self, frame: Frame, client: OllamaClient) -> Stats:
        """Return the figures of the last frame."""
        was_loaded = (frame.load_duration or 0) * NANOSECONDS >= LOAD_S
        is_new = was_loaded or self._asked is not None
        told = self._told(client, self._asked_at if is_new else -math.inf)
        return stats_of(frame, told or self._asked)

    def _told(self, client: OllamaClient, newer_than: float) -> int | None:
        return self._sizes.size(client, self._model, newer_than) if self._sizes is not None else None
