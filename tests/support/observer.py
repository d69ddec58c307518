"""An observer of the relay's that keeps all that it gets."""

from __future__ import annotations

from clawgate.relay.report import Observer, Phase, Report, RunIds


class Noted(Observer):
    """Keeps the reports, the cuts, the unloads and the faults, in order."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.cuts: list[tuple[Phase, float]] = []
        self.unloads: list[RunIds] = []
        self.faults: list[tuple[RunIds, Exception]] = []

    def on_end(self, report: Report) -> None:
        """Keep the report."""
        self.reports.append(report)

    def on_cut(self, phase: Phase, after_s: float) -> None:
        """Keep the phase and the time."""
        self.cuts.append((phase, after_s))

    def on_unload(self, ids: RunIds) -> None:
        """Keep the ids of the run."""
        self.unloads.append(ids)

    def on_fault(self, ids: RunIds, fault: Exception) -> None:
        """Keep the exception."""
        self.faults.append((ids, fault))
