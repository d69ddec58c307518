"""Observations of each model: the time that Ollama takes to hand out its runner, and whether a prompt was given up.

The client (client.py) notes what its exchanges show, for as long as it asks the same Ollama; nothing here asks.
"""

from __future__ import annotations

import math
import threading
from collections import deque

MAX_MODELS = 64
MAX_FLOOR_S = 0.5
"""No connection is held open for longer; and so long, while no answer has shown how long is enough."""
MARGIN = 1.5
"""A busy machine takes longer than the answers seen so far."""
READ_S = 0.01
"""Ollama's time to read a request, which its `load_duration` does not count."""
KEPT = 8
EVALUATED_S = 300.0
"""A prompt that was given up is evaluated by then: some 30,000 words on a CPU, where 1,500 take 11 to 16 s."""


class _Model:
    """One model's figures; moments are on the monotonic clock."""

    __slots__ = ("answered_at", "given_up_at", "loads_s")

    def __init__(self) -> None:
        self.answered_at = -math.inf
        self.given_up_at = -math.inf
        self.loads_s: deque[float] = deque(maxlen=KEPT)


class Observations:
    """Keeps the figures of the last `MAX_MODELS` models that were new.

    Threads: any. `_lock` guards the list of models; a model's figures are single values, each replaced at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}

    def note_frame(self, model: str, now: float) -> None:
        """Note that a frame of the model's has come, for any exchange."""
        self._of(model).answered_at = now

    def note_load(self, model: str, load_s: float) -> None:
        """Note the `load_duration` of an answer.

        One above `MAX_FLOOR_S` says that the model was loaded for that answer, and nothing of the next.
        """
        if 0 <= load_s <= MAX_FLOOR_S:
            self._of(model).loads_s.append(load_s)

    def note_given_up(self, model: str, now: float) -> None:
        """Note that an exchange was cut before its first frame."""
        self._of(model).given_up_at = now

    def floor_s(self, model: str) -> float:
        """Return for how long a request stays open that nothing has come for.

        It is the longest of the last few: too long a time costs half a second of the model's, too short a time costs
        Ollama a file descriptor for good.
        """
        loads_s = tuple(self._of(model).loads_s)
        return min(MARGIN * max(loads_s) + READ_S, MAX_FLOOR_S) if loads_s else MAX_FLOOR_S

    def has_answered_since(self, model: str, moment: float) -> bool:
        """Tell whether a model has said anything to anybody since then."""
        return self._of(model).answered_at >= moment

    def has_given_up(self, model: str, now: float) -> bool:
        """Tell whether the last that is known of a model is a prompt that was given up, `EVALUATED_S` ago at most."""
        known = self._of(model)
        return known.given_up_at > max(known.answered_at, now - EVALUATED_S)

    def _of(self, model: str) -> _Model:
        known = self._models.get(model)
        if known is None:
            with self._lock:
                known = self._models.setdefault(model, _Model())
                if len(self._models) > MAX_MODELS:
                    del self._models[next(iter(self._models))]
        return known
