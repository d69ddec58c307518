"""The question, asked before a `continue` is admitted, whether the model's template can go on with a partial answer.

So a model that cannot is a plain 409, and the session is as it was. If Ollama gives no answer in a moment, the stream
begins, and the exchange asks again before it sends anything.
"""

from __future__ import annotations

import threading
from functools import partial

from clawgate.errors import CannotContinue
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import Places

PATIENCE_S = 0.5
"""The start event waits so long for an Ollama that does not answer."""
MAX_ASKING = 4
"""A thread that waits here has no slot of a stream: so many may, and further requests go without the question."""


class ContinuationCheck:
    """Asks Ollama whether a model can go on with a partial answer.

    Threads: any. No lock is held and no run exists meanwhile: an interrupt, a new message or a drain take their course,
    and the admission that follows finds what they left.
    """

    def __init__(self) -> None:
        self._places = Places(MAX_ASKING)

    def check(self, client: OllamaClient, model: str) -> bool:
        """Return whether the model is known to be able; False where Ollama has not said so in time.

        Errors: CannotContinue.
        """
        is_told = threading.Event()
        call = self._places.call(partial(client.can_go_on, model, PATIENCE_S), None, wake=is_told.set)
        if call is None:
            return False
        is_told.wait(PATIENCE_S)
        if call.result is False:
            raise CannotContinue
        return call.result is True
