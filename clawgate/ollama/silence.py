"""The reason why Ollama has not begun to answer in time, and the cure of a slot that hangs.

An Ollama whose slot leaked when an answer was aborted accepts the next request and never answers it, while
everything else answers (its issue 17131): a wedge. From outside that looks like a slow load, a queue, or an Ollama
that hangs altogether. relay/diagnosis.py is the only caller; heartbeats go on while a `BackgroundCall` asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient

log = logging.getLogger(__name__)
_T = TypeVar("_T")

QUESTION_TIMEOUT_S = 5.0
APART_S = 0.1
"""Between two looks at /api/ps, and between those at a model that is to go."""
UNLOAD_S = 15.0
"""Ollama gives an unloaded model's memory up to 5 s to come back before it no longer lists it."""
UNUSUAL = (UpstreamFailure, KeyError, TypeError)
"""Reading an answer that is not Ollama's raises these."""


class Silence(NamedTuple):
    """The reason of a silence, in words that follow "no first frame within 300 s"."""

    words: str
    is_wedge: bool = False


class BackgroundCall(Generic[_T]):
    """A question to Ollama on a helper thread; `result` is there once it is answered.

    If the system gives no further thread, the question has failed at once.

    Threads: the helper thread writes `result` once, then calls `wake`, whatever has happened; anybody reads it.
    """

    def __init__(self, ask: Callable[[], _T], if_it_fails: _T, wake: Callable[[], None]) -> None:
        self.result: _T | None = None
        self._ask = ask
        self._if_it_fails = if_it_fails
        self._wake = wake
        try:
            threading.Thread(target=self._run, name="ask-upstream", daemon=True).start()
        except RuntimeError:
            self.result = if_it_fails
            wake()

    def _run(self) -> None:
        try:
            self.result = self._ask()
        except Exception:  # nobody else catches it on a helper thread
            log.exception("asking Ollama failed")
            self.result = self._if_it_fails
        finally:
            self._wake()


class Places:
    """Places for questions that many may want to ask at once: each takes a thread and a connection while it lasts.

    Threads: any.
    """

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def call(self, ask: Callable[[], _T], if_it_fails: _T, wake: Callable[[], None]) -> BackgroundCall[_T] | None:
        """Ask in the background; None where no place is free."""
        if not self._free.acquire(blocking=False):
            return None
        return BackgroundCall(ask, if_it_fails, partial(self._finish, wake))

    def _finish(self, wake: Callable[[], None]) -> None:
        self._free.release()
        wake()


UNKNOWN = Silence("the reason is not known")


def why_silent(client: OllamaClient, model: str, answers_others: bool) -> Silence:
    """Tell why a request for a model is not being answered, as far as Ollama lets that be known.

    /api/ps lists a model from the moment it begins to load, and gives it `expires_at` = now + keep_alive until a first
    answer has ended. The model is new where that moves, and has answered before where it stands.

    Units: takes `APART_S` as a rule, a few `QUESTION_TIMEOUT_S` at the most.
    Source: Ollama server/routes.go, PsHandler; server/sched.go, processCompleted.
    """
    if answers_others:
        return Silence("the model answers others, so this request is queued behind them (OLLAMA_NUM_PARALLEL)")
    try:
        client.ask("/api/version", QUESTION_TIMEOUT_S)
        first, second = _expiries(client, model)
    except UNUSUAL as error:
        why = f": {error}" if isinstance(error, UpstreamFailure) else ""
        return Silence(f"Ollama as a whole does not answer{why}")
    if first is None or second is None:
        return Silence("Ollama lives but has not loaded the model: it loads it, or waits for memory")
    if first != second:
        return Silence("Ollama lives and still loads the model, or reads its first prompt")
    return Silence(
        "Ollama lives and the model is loaded: it reads a very long prompt, or a slot of it hangs since an answer was "
        f"aborted; `ollama stop {model}` or a restart of Ollama frees that",
        is_wedge=True,
    )


def is_loaded(client: OllamaClient, model: str) -> bool:
    """Tell whether a model is there to answer: loaded, and no longer being loaded; False where that is not known."""
    try:
        first, second = _expiries(client, model)
    except UNUSUAL:
        return False
    return first is not None and first == second


def unload(client: OllamaClient, model: str, given_up: threading.Event, patience_s: float = UNLOAD_S) -> bool:
    """Unload a model and return once it is gone; False where it stays, or nobody waits any more.

    Ollama answers at once and unloads when the last request for the model has ended.

    Source: Ollama docs/api.md, "Generate a completion", Unload a model.
    """
    ends_at = time.monotonic() + patience_s
    try:
        client.ask("/api/generate", QUESTION_TIMEOUT_S, json={"model": model, "keep_alive": 0})
        while time.monotonic() < ends_at and not given_up.is_set():
            if _expiry(client, model) is None:
                return True
            given_up.wait(APART_S)
    except UNUSUAL as error:
        log.warning("%s could not be unloaded: %s", model, error)
    return False


def full_name(model: str) -> str:
    """Give the one name by which two names of a model are compared.

    Source: Ollama types/model/name.go: the default tag is `latest`, and capital letters are small ones.
    """
    return (model if ":" in model.rpartition("/")[2] else f"{model}:latest").lower()


def _expiries(client: OllamaClient, model: str) -> tuple[str | None, str | None]:
    """Look twice when Ollama will forget a model: the moment moves on while the model is new."""
    first = _expiry(client, model)
    time.sleep(APART_S)
    return first, _expiry(client, model)


def _expiry(client: OllamaClient, model: str) -> str | None:
    """Return when Ollama will forget a loaded model; None where it is not loaded."""
    listed: dict[str, Any] = {
        full_name(str(entry["name"])): entry for entry in client.ask("/api/ps", QUESTION_TIMEOUT_S)["models"]
    }
    entry = listed.get(full_name(model))
    return None if entry is None else str(entry.get("expires_at", ""))
