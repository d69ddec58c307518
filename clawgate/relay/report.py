"""The report of a run, and the observers that get it: the log and the metrics. And the standing of the desk.

The desk is handed its observers and knows nothing else of them. Only frozen values reach them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from clawgate.errors import ClawgateError
from clawgate.relay.stats import Stats
from clawgate.sessions import Counts

Phase = Literal["opening", "thinking", "text", "stalled", "waiting"]
"""The phase of an answer: before the model has said anything, what it says, a silence in it, Ollama is away."""

INTERRUPTED = ("interrupted", "superseded")
"""The reasons of an end that came from outside: the model would have gone on."""


class RunIds(NamedTuple):
    """The ids that a run is known by; request_id is the HTTP request's."""

    session_id: str
    run_id: str
    request_id: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run and its figures; `error` is set exactly where done_reason is "error".

    wedges: the number of times that a slot of Ollama's was found to hang.
    requests: the number of requests to Ollama that it took. frames, bad_frames: those read from their answers.
    phase: the one in which it was interrupted; None where it ended by itself.
    Units: first_token_s and duration_s count from the admission; first_token_s is None where the model said nothing.
    waited_s is the time for which Ollama was away. answer_bytes is the UTF-8 of the thinking and the text.
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
    requests: int
    frames: int
    bad_frames: int
    phase: Phase | None
    waited_s: float


class InHand(NamedTuple):
    """The work that a desk has in hand.

    answers: those whose request is not over. waiting: of these, those that wait for an Ollama that is away.
    closes: the connections to Ollama that are to be closed, and may not be yet (closings.py).
    """

    answers: int
    waiting: int
    closes: int


class Standing(NamedTuple):
    """The standing of the desk at a moment: its slots, what it has in hand (`InHand`), and its sessions.

    streams and max_streams are those of all workers of the master, sessions those of all who share the store.
    """

    streams: int
    max_streams: int
    answers: int
    waiting: int
    closes: int
    sessions: Counts
    is_store_available: bool = True


class Observer:
    """Follows runs from outside the relay; what an observer leaves out does nothing.

    Threads: any thread may call; it drives or serves a run, so each method returns at once.
    Errors: none may be raised.
    """

    def on_end(self, report: Report) -> None:
        """Take the report of a run, when its request is over."""

    def on_cut(self, phase: Phase, after_s: float) -> None:
        """Note that the connection to Ollama of an interrupted run is closed; this may come after the report.

        Units: after_s counts from the interrupt.
        """

    def on_unload(self, ids: RunIds) -> None:
        """Note that a slot of Ollama's hangs, and that the model is being unloaded for this run."""

    def on_fault(self, ids: RunIds, fault: Exception) -> None:
        """Note an exception of our own making; it ends the run as `internal`."""
