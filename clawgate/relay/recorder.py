"""The recorder of a run gathers the figures of the run's report while the answer is made."""

from __future__ import annotations

from collections.abc import Sequence

from clawgate.relay.report import Observer, Report, RunIds
from clawgate.relay.run import Run


class Recorder:
    """Keeps the moments and counts of one run, and calls the observers.

    Threads: the one that drives the pump, then the one that releases the run.
    """

    __slots__ = ("_first_token_at", "_ids", "_observers", "_started_at", "wedges")

    def __init__(self, run: Run, observers: Sequence[Observer], now: float) -> None:
        self._ids = RunIds(run.session_id, run.run_id, run.request_id)
        self._observers = observers
        self._started_at = now
        self._first_token_at: float | None = None
        self.wedges = 0

    def note_token(self, now: float) -> None:
        """Note that the model has said something."""
        if self._first_token_at is None:
            self._first_token_at = now

    def report_unload(self) -> None:
        """Report that the model is being unloaded for this run."""
        for observer in self._observers:
            observer.on_unload(self._ids)

    def report_fault(self, fault: Exception) -> None:
        """Report an exception of our own making."""
        for observer in self._observers:
            observer.on_fault(self._ids, fault)

    def report_end(self, run: Run, now: float) -> None:
        """Report the outcome of the run, which has ended."""
        assert run.ended is not None
        report = Report(
            ids=self._ids,
            model=run.prompt.model,
            done_reason=run.ended.done_reason,
            error=run.ended.error,
            stats=run.ended.stats,
            first_token_s=None if self._first_token_at is None else self._first_token_at - self._started_at,
            duration_s=now - self._started_at,
            answer_bytes=len((run.log.thinking + run.text).encode()),
            wedges=self.wedges,
        )
        for observer in self._observers:
            observer.on_end(report)
