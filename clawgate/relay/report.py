"""The report of a run, and the observers that get it: the log is one.

The desk is handed its observers and knows nothing else of them. Only frozen values reach them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from clawgate.errors import ClawgateError
from clawgate.relay.stats import Stats


class RunIds(NamedTuple):
    """The ids that a run is known by; request_id is the HTTP request's."""

    session_id: str
    run_id: str
    request_id: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run and its figures; `error` is set exactly where done_reason is "error".

    wedges: the number of times that a slot of Ollama's was found to hang.
    Units: first_token_s and duration_s count from the admission; first_token_s is None where the model said nothing.
    answer_bytes is the UTF-8 of the thinking and the text.
    """

    ids: RunIds
    model: str
    done_reason: str
    error: ClawgateError | None
    stats: Stats
    first_token_s: float | None
    duration_s: float
    answer_bytes: int
    wedges: int


class Observer(Protocol):
    """Follows runs from outside the relay.

    Threads: any thread may call; it drives or serves a run, so each method returns at once.
    Errors: none may be raised.
    """

    def on_end(self, report: Report) -> None:
        """Take the report of a run, when its request is over."""

    def on_unload(self, ids: RunIds) -> None:
        """Note that a slot of Ollama's hangs, and that the model is being unloaded for this run."""

    def on_fault(self, ids: RunIds, fault: Exception) -> None:
        """Note an exception of our own making; it ends the run as `internal`."""
