"""What a run came to, for those who keep account of it: the log, and what counts.

The desk is handed its observers and knows nothing else of them. Only frozen values reach them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from clawgate.errors import ClawgateError


class RunIds(NamedTuple):
    """The ids that a run is known by; request_id is the HTTP request's."""

    session_id: str
    run_id: str
    request_id: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to; `error` is set exactly where done_reason is "error".

    wedges: how often a slot of Ollama's was found to hang.
    Units: first_token_s and duration_s count from the admission, and the first is None where the model said nothing;
    answer_bytes is the UTF-8 of the thinking and the text.
    """

    ids: RunIds
    model: str
    done_reason: str
    error: ClawgateError | None
    stats: dict[str, int]
    first_token_s: float | None
    duration_s: float
    answer_bytes: int
    wedges: int


class Observer(Protocol):
    """Follows what becomes of runs.

    Threads: each method may be called from any thread, and keeps that thread from its run: it returns at once.
    Errors: none; an observer that fails must not end a run.
    """

    def on_end(self, report: Report) -> None:
        """Take the report of a run whose request is over."""

    def on_unload(self, ids: RunIds) -> None:
        """Note that a slot of Ollama's hangs, and that the model is unloaded for this run."""

    def on_fault(self, ids: RunIds, fault: Exception) -> None:
        """Note an exception of our own making, which ends the run as `internal`."""
