"""Ollama's state, and questions that are asked seldom, however many threads read the answer.

The status, the pages, `clawgate check` and `clawgate up` use it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from clawgate.ollama.client import OllamaClient
from clawgate.ollama.finding import Finding, Unreached, Unusable
from clawgate.ollama.silence import full_name
from clawgate.ollama.words import on_one_line

ASK_EVERY_S = 2.0
MAX_VERSION = 100
QUESTION_TIMEOUT_S = 1.5
STATE_S = 2.5
"""Both questions take no longer: the page gives a status up after 3 s."""
EMBEDDED = "-clawgate-embedded"
"""The end of the version of our own runtime, `clawgate embedded`: a real Ollama's never has it."""
FIRST_ANSWER_S = 0.5
"""The time that a few threads wait for the very first answer: a neighbour that hangs must not take all threads."""
MAX_WAITING = 8
"""The number of threads that wait for it; the others go on at once without an answer."""
_T = TypeVar("_T")


class UpstreamState(msgspec.Struct, frozen=True):
    """Ollama's own word of its state; model_ready: the configured model is there to be loaded.

    finding: what is there in its place, or why nothing is; None where it answers, or has not been asked.
    """

    reachable: bool
    version: str | None = None
    model_ready: bool = False
    finding: Finding | None = None

    @property
    def is_embedded(self) -> bool:
        """True where the embedded model answers in Ollama's place, as it does for `clawgate up`."""
        return (self.version or "").endswith(EMBEDDED)


class CachedQuestion(Generic[_T]):
    """A question to a neighbour in the chain that is asked at most every 2 s, however many want the answer.

    Until the first answer, and for ever where the neighbour gives none, the answer is `not_known`.

    Threads: `_asking` is held by the one thread that asks; the others take the last answer.
    """

    def __init__(
        self,
        ask: Callable[[], _T],
        not_known: _T,
        *,
        is_waited_for: bool = True,
        is_lasting: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        is_waited_for: a few threads wait for a moment while the very first answer is on its way.
        is_lasting: once there is an answer, it is not asked again.
        """
        self._ask = ask
        self._not_known = self._last = not_known
        self._first_answer_s = FIRST_ANSWER_S if is_waited_for else 0
        self._is_lasting = is_lasting
        self._clock = clock
        self._asking = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._asked_at: float | None = None

    def answer(self) -> _T:
        """Return the answer, at most some seconds old; ask where it is older and no other thread does."""
        if self._is_fresh() or not self._may_ask():
            return self._last
        try:
            if not self._is_fresh():  # another thread may have asked meanwhile
                self._last = self._ask()
                self._asked_at = self._clock()
            return self._last
        finally:
            self._asking.release()

    def _is_fresh(self) -> bool:
        if self._asked_at is None:
            return False
        is_kept = self._is_lasting and self._last != self._not_known
        return is_kept or self._clock() < self._asked_at + ASK_EVERY_S

    def _may_ask(self) -> bool:
        if self._asked_at is not None or not self._places.acquire(blocking=False):
            return self._asking.acquire(blocking=False)
        try:
            return self._asking.acquire(timeout=self._first_answer_s)
        finally:
            self._places.release()


def upstream_state(client: OllamaClient, model: str) -> UpstreamState:
    """Ask Ollama for its version and whether it has the model."""
    ends_at = time.monotonic() + STATE_S
    try:
        version = on_one_line(str(client.ask("/api/version", QUESTION_TIMEOUT_S)["version"])[:MAX_VERSION])
        left_s = max(ends_at - time.monotonic(), STATE_S - QUESTION_TIMEOUT_S)
        names = [str(entry["name"]) for entry in client.ask("/api/tags", left_s)["models"]]
    except (Unreached, Unusable) as failure:
        return UpstreamState(reachable=False, finding=failure.finding)
    except (KeyError, TypeError):
        return UpstreamState(reachable=False, finding=Finding("other", "its JSON is another"))
    return UpstreamState(reachable=True, version=version, model_ready=full_name(model) in map(full_name, names))
