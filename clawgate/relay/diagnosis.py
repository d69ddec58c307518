"""The diagnosis of a first frame that does not come: the pump asks Ollama for the reason, and frees a hung slot once.

All of that may take seconds, so it runs on a helper thread, which wakes the pump when it is done.
"""

from __future__ import annotations

import math
from functools import partial

from clawgate.config import StreamConfig
from clawgate.errors import UpstreamTimeout
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import UNKNOWN, BackgroundCall, Places, Silence, is_loaded, unload, why_silent
from clawgate.relay.wait import WakeEvent

EVALUATING = "evaluating"
EVALUATING_AFTER_S = 2.0
"""The silence after which a reader wants to know what it waits for; the page has words for a wait from 1.5 s on."""
MAX_LOOKING = 4
"""So many look at once, of hundreds that may wait for one model: an Ollama that hangs keeps each for 5 s."""
LOOKS_AGAIN_S = 1.0
NOT_UNLOADED = "a slot of Ollama's hangs and the model could not be unloaded; restart Ollama"


class Diagnosis:
    """Asks Ollama for the reason, and unloads the model, for one run.

    Threads: the one that drives the pump.
    """

    __slots__ = (
        "_first_frame_s",
        "_inquiry",
        "_look",
        "_looking",
        "_may_unload",
        "_model",
        "_unload",
        "_wake_event",
        "looks_at",
    )

    def __init__(self, model: str, wake_event: WakeEvent, limits: StreamConfig, looking: Places) -> None:
        """Ask nothing yet; looking: the places that all runs of the process share."""
        self._model = model
        self._looking = looking
        self._wake_event = wake_event
        self._first_frame_s = limits.first_frame_seconds
        self._may_unload = limits.unload_wedged
        self._inquiry: BackgroundCall[Silence] | None = None
        self._look: BackgroundCall[bool] | None = None
        self.looks_at = math.inf
        """The moment at which `is_evaluating` begins to ask."""
        self._unload: BackgroundCall[bool] | None = None

    def note_request(self, client: OllamaClient, now: float) -> None:
        """Forget what was found of the last request: another begins."""
        self._inquiry = self._look = None
        self.looks_at = now + EVALUATING_AFTER_S if client.has_given_up(self._model, now) else math.inf

    def is_evaluating(self, client: OllamaClient, now: float) -> bool:
        """Tell, once for a request, that Ollama evaluates a prompt: as far as is known one that was given up.

        Ollama evaluates a prompt to its end, whether anybody waits for the answer or not, and the next one waits.
        """
        if now >= self.looks_at:
            self._look = self._looking.call(partial(is_loaded, client, self._model), False, wake=self._wake_event.wake)
            self.looks_at = now + LOOKS_AGAIN_S if self._look is None else math.inf
        if self._look is None or not self._look.result:
            return False
        self._look = None
        return client.has_given_up(self._model, now)

    def reason(self, client: OllamaClient, asked_at: float, now: float) -> Silence | None:
        """Return the reason for the silence; None while Ollama is being asked for it.

        A model that has answered others in the second half of the time since asked_at is busy.
        """
        if self._inquiry is None:
            answers_others = client.has_answered_since(self._model, (asked_at + now) / 2)
            ask = partial(why_silent, client, self._model, answers_others)
            self._inquiry = BackgroundCall(ask, UNKNOWN, wake=self._wake_event.wake)
        return self._inquiry.result

    def can_free(self, silence: Silence) -> bool:
        """True where unloading the model can help, is allowed, and has not been tried."""
        return silence.is_wedge and self._may_unload and self._unload is None

    def free(self, client: OllamaClient) -> None:
        """Begin to unload the model."""
        call = partial(unload, client, self._model, self._wake_event)
        self._unload = BackgroundCall(call, False, wake=self._wake_event.wake)

    @property
    def is_freed(self) -> bool | None:
        """True once the model is unloaded, False where it stays, None while it is being unloaded."""
        assert self._unload is not None
        return self._unload.result

    def error(self, why: str) -> UpstreamTimeout:
        """Make the error that ends the run."""
        return UpstreamTimeout(f"no first frame from Ollama within {self._first_frame_s:g} s: {why}")
