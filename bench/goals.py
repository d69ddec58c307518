"""The goals of speed that clawgate sets itself (`python -m bench.run --goals`): each measured, with what was asked.

A goal is a value that must not exceed its limit. The cases behind them run one after the other, nginx and the naive
relay beside clawgate; with 3 rounds that takes some twelve minutes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench import burst
from bench.first import first_answer
from bench.inflight import Pace
from bench.interrupts import Timing, run_phase, timing_table
from bench.load import Plan
from bench.phases import PHASES
from bench.report import comparison_json, comparison_table, table
from bench.rounds import Case, Comparison, Summary, compare
from bench.targets import PROGRAMS, Bed

STARTS = 5


@dataclass(frozen=True)
class Goal:
    """One line of the table: what clawgate took, what it may take at most, and what the naive relay took."""

    measure: str
    unit: str
    limit: float
    value: float | None
    naive: float | None = None

    @property
    def is_met(self) -> bool:
        """Say whether the value was measured and keeps within its limit."""
        return self.value is not None and self.value <= self.limit

    def row(self) -> list[str]:
        """Return the line's cells."""
        verdict = "met" if self.is_met else "not measured" if self.value is None else "missed"
        return [self.measure, f"<= {self.limit:g}{self.unit}", self._show(self.value), self._show(self.naive), verdict]

    def _show(self, value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}{self.unit}"


@dataclass(frozen=True)
class Found:
    """Everything that the goals are read from."""

    few: Comparison
    many: Comparison
    fast: Comparison
    most: Comparison
    short: Comparison
    burst: Comparison
    starts: list[tuple[float, float]]
    cut: Timing

    @property
    def comparisons(self) -> list[Comparison]:
        """List the comparisons in the order they were run."""
        return [self.few, self.many, self.fast, self.most]

    @property
    def openings(self) -> list[Comparison]:
        """List those of what opening costs."""
        return [self.short, self.burst]


def run(
    bed: Bed, names: tuple[str, ...], rounds: int, settings: dict[str, Any], say: Callable[[str], None]
) -> tuple[str, dict[str, Any], bool]:
    """Measure every goal; return the tables, everything as plain data, and whether all goals are met."""

    def side_by_side(streams: int, rate: float, programs: tuple[str, ...] = PROGRAMS) -> Comparison:
        chosen = tuple(name for name in programs if name in names)
        return compare(bed, Case(f"{streams} x {rate:g}/s", Plan(streams, rate), chosen, rounds, settings), [], say)

    found = Found(
        few=side_by_side(100, 50),
        many=side_by_side(400, 50),
        fast=side_by_side(100, 200, ("clawgate", "nginx")),  # the naive relay is long saturated here
        most=side_by_side(1000, 20, ("clawgate", "nginx")),
        short=burst.measure(bed, burst.SHORT_CHATS, names, rounds, settings, say),
        burst=burst.measure(bed, burst.burst(1000, 20), names, rounds, settings, say),
        starts=[first_answer(bed, settings) for _ in range(STARTS)],
        cut=run_phase(bed, PHASES["text"], Pace(streams=400), settings),
    )
    goals = _goals(found)
    head = ["measure", "goal", "clawgate", "naive", ""]
    tables = [comparison_table(comparison) for comparison in found.comparisons]
    tables += [burst.opening_table(comparison) for comparison in found.openings]
    tables += [timing_table([found.cut]), table(head, [goal.row() for goal in goals])]
    data = {
        "goals": [asdict(goal) | {"is_met": goal.is_met} for goal in goals],
        "comparisons": [comparison_json(comparison) for comparison in found.comparisons],
        "openings": [comparison_json(comparison) for comparison in found.openings],
        "starts": found.starts,
        "interrupts": asdict(found.cut),
    }
    return "\n\n".join(tables), data, all(goal.is_met for goal in goals)


def _goals(found: Found) -> list[Goal]:
    few, many, most, opened = (each.summaries for each in (found.few, found.many, found.most, found.burst))
    first, crowd, last, burst_of = few["clawgate"], many["clawgate"], most["clawgate"], opened["clawgate"]
    naive, naive_crowd, naive_burst = few.get("naive"), many.get("naive"), opened.get("naive")
    seconds, idle_mb = (statistics.median(values) for values in zip(*found.starts, strict=True))
    crowded = "400 streams x 50/s"
    return [
        *_cost_goals(found),
        Goal(f"tokens late or lost, {crowded}", " %", 1, _missing(crowd), _missing(naive_crowd)),
        Goal(f"lag p50, {crowded}", " ms", 60, crowd.lag.p50, naive_crowd.lag.p50 if naive_crowd else None),
        Goal(f"lag p99, {crowded}", " ms", 150, crowd.lag.p99, naive_crowd.lag.p99 if naive_crowd else None),
        Goal(
            "time to first token added p50, 100 streams", " ms", 5, first.added.p50, naive.added.p50 if naive else None
        ),
        Goal(
            "time to first token added p99, 100 streams", " ms", 30, first.added.p99, naive.added.p99 if naive else None
        ),
        Goal("interrupt to connection closed p99, 400 streams", " ms", 50, found.cut.closed.p99),
        Goal("memory per stream, 400 streams", " KB", 60, crowd.kb_per_stream, naive.kb_per_stream if naive else None),
        Goal("resident memory after one answer", " MB", 60, idle_mb, naive.idle_mb if naive else None),
        Goal("start to first answer", " s", 1, seconds),
        Goal("tokens late or lost, 1000 streams x 20/s", " %", 1, _missing(last)),
        Goal("lag p99, 1000 streams x 20/s", " ms", 400, last.lag.p99),
        Goal(
            "CPU per chat of three frames: the naive relay = 1",
            "",
            1.0,
            found.short.ratio("clawgate", "naive", "chat_cpu_ms"),
            1.0 if "naive" in found.short.results else None,
        ),
        Goal(
            "first token added p99, 1000 streams opened within 2 s",
            " ms",
            2000,
            burst_of.added_opening.p99,
            naive_burst.added_opening.p99 if naive_burst else None,
        ),
        Goal("lag p99 of these", " ms", 400, burst_of.lag.p99, naive_burst.lag.p99 if naive_burst else None),
    ]


def _cost_goals(found: Found) -> list[Goal]:
    few, many, fast = found.few, found.many, found.fast

    def against(comparison: Comparison, other: str, measure: str, limit: float) -> Goal:
        name = f"CPU per token: {'nginx' if other == 'nginx' else 'the naive relay'} = 1, {measure}"
        return Goal(name, "", limit, comparison.ratio("clawgate", other), comparison.ratio("naive", other))

    return [
        against(few, "nginx", "100 streams x 50/s", 1.0),
        against(few, "naive", "100 streams x 50/s", 0.3),
        against(many, "nginx", "400 streams x 50/s", 1.2),
        against(fast, "nginx", "100 streams x 200/s", 0.5),
    ]


def _missing(summary: Summary | None) -> float | None:
    """Return per cent: the window's tokens that did not arrive in it, or the answers that were not complete."""
    if summary is None:
        return None
    return 100 * max(0.0, 1 - min(summary.served, summary.complete / summary.expected))
