"""The recorder of a run gathers the figures of the run's report while the answer is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from clawgate.ollama.exchange import Exchange
from clawgate.relay.closings import Closings
from clawgate.relay.report import INTERRUPTED, Observer, Phase, Report, RunIds
from clawgate.relay.run import Run

STALLED_S = 2.0
"""A silence in an answer is a stall from here on: a model on a slow CPU says a token a second."""


class Recorder:
    """Keeps the moments and counts of one run, and calls the observers. The parts of a pump add to the counts.

    heard_at: the moment of the last frame.
    Threads: the one that drives the pump, then the one that releases the run; `is_waiting` may be read by any.
    """

    __slots__ = (
        "_absent_at",
        "_absent_s",
        "_closings",
        "_exchange",
        "_first_token_at",
        "_ids",
        "_observers",
        "_run",
        "_started_at",
        "bad_frames",
        "frames",
        "heard_at",
        "requests",
        "wedges",
    )

    def __init__(self, run: Run, observers: Sequence[Observer], now: float, closings: Closings | None = None) -> None:
        self._ids = RunIds(run.session_id, run.run_id, run.request_id)
        self._run = run
        self._observers = observers
        self._closings = closings or Closings()
        self._started_at = now
        self._first_token_at: float | None = None
        self._exchange: Exchange | None = None
        self._absent_at: float | None = None
        self._absent_s = 0.0
        self.heard_at = math.inf
        self.requests = 0
        self.frames = 0
        self.bad_frames = 0
        self.wedges = 0

    @property
    def is_waiting(self) -> bool:
        """True while Ollama is away, and the run waits for it."""
        return self._absent_at is not None and not self._run.has_outcome

    def note_request(self, exchange: Exchange) -> None:
        """Note that Ollama is asked, for the first time or again."""
        self._exchange = exchange
        self.requests += 1

    def note_token(self, now: float) -> None:
        """Note that the model has said something."""
        if self._first_token_at is None:
            self._first_token_at = now

    def note_absence(self, now: float) -> None:
        """Note that Ollama is away; again is harmless."""
        if self._absent_at is None:
            self._absent_at = now

    def note_return(self, now: float) -> None:
        """Note that Ollama answers; again is harmless."""
        if self._absent_at is not None:
            self._absent_s += now - self._absent_at
            self._absent_at = None

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
        phase = self._phase() if run.ended.done_reason in INTERRUPTED else None
        self.note_return(now)
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
            requests=self.requests,
            frames=self.frames,
            bad_frames=self.bad_frames,
            phase=phase,
            waited_s=self._absent_s,
        )
        for observer in self._observers:
            observer.on_end(report)
        if self._exchange is not None and phase is not None:
            self._closings.when_cut(self._exchange, partial(self._report_cut, phase, run.decided_at))

    def _phase(self) -> Phase:
        log = self._run.log
        if self._absent_at is not None:
            return "waiting"
        if not (log.has_text or log.has_thinking or log.has_calls):
            return "opening"
        if self._run.decided_at - self.heard_at >= STALLED_S:
            return "stalled"
        return "text" if log.has_text or log.has_calls else "thinking"

    def _report_cut(self, phase: Phase, interrupted_at: float, cut_at: float) -> None:
        if cut_at >= interrupted_at:  # else the run had no connection any more
            for observer in self._observers:
                observer.on_cut(phase, cut_at - interrupted_at)
