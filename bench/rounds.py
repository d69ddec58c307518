"""Comparisons: every target started in one go, its rounds taken in turn, its results brought to one line.

Only ratios between neighbours in time mean anything on a machine that does other things too. So the rounds go A B C
A B C, ratios are taken within a round, and each target's least and median are kept.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.load import Plan, run
from bench.measures import Result, Spread
from bench.targets import Bed, Target

TOO_BUSY = 0.85
TOO_DISTURBED = 0.5
TOO_LATE_MS = 100.0
_WARM_UP = Plan(streams=8, rate=100, window_s=0.2, ramp_per_s=50, settle_s=0.2, probes=0)


@dataclass(frozen=True)
class Case:
    """One comparison: which programs (clawgate, nginx, naive) under which load, how often."""

    name: str
    plan: Plan
    names: tuple[str, ...]
    rounds: int = 3
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """All rounds of one target in one line.

    Units: cpu_us is CPU per token, chat_cpu_ms that of a whole answer. Lags and times added (to the short answers, and
    to the streams' own first tokens) are the medians of the rounds' own percentiles.
    """

    target: str
    rounds: int
    cpu_us_min: float
    cpu_us_median: float
    answer_cpu_ms: float
    chat_cpu_ms: float
    lag: Spread
    added: Spread
    added_opening: Spread
    kb_per_stream: float
    idle_mb: float
    served: float
    complete: int
    expected: int
    target_busy: float
    events_per_s: float

    @classmethod
    def of(cls, results: list[Result]) -> Summary:
        """Bring the rounds of one target together. Memory is the first round's: later ones find it already taken."""
        cpu = [result.cpu_us for result in results]
        return cls(
            results[0].target,
            len(results),
            min(cpu),
            statistics.median(cpu),
            statistics.median(result.answer_cpu_ms for result in results),
            statistics.median(result.chat_cpu_ms for result in results),
            middle([result.lag for result in results]),
            middle([result.added for result in results]),
            middle([result.added_opening for result in results]),
            results[0].kb_per_stream,
            results[0].idle.pss_kb / 1024,
            min(result.served for result in results),
            sum(result.complete + result.probes_complete for result in results),
            sum(result.streams + result.probes for result in results),
            statistics.median(result.target_busy for result in results),
            statistics.median(result.events_per_s for result in results),
        )


@dataclass
class Comparison:
    """A case with its results."""

    case: Case
    results: dict[str, list[Result]]
    warnings: list[str]

    @property
    def summaries(self) -> dict[str, Summary]:
        """Return each target's rounds as one line."""
        return {name: Summary.of(results) for name, results in self.results.items()}

    def ratio(self, name: str, other: str, cost: str = "cpu_us") -> float | None:
        """Compare two targets' CPU per token: the median of the rounds' own ratios; None where one was not measured.

        cost: which of a result's figures; `chat_cpu_ms` compares whole answers.

        The least of each would be no fair pair: in a round that starves, tokens come in heaps and cost less.
        """
        pairs = zip(self.results.get(name, []), self.results.get(other, []), strict=False)
        costs = [(getattr(one, cost), getattr(two, cost)) for one, two in pairs]
        ratios = [one / two for one, two in costs if one and two]
        return statistics.median(ratios) if ratios else None


def compare(bed: Bed, case: Case, peers: list[Target], say: Callable[[str], None]) -> Comparison:
    """Start a case's targets, run its rounds, and end them."""
    with bed.fresh():
        targets = [bed.start(name, case.plan.slots, case.settings) for name in case.names] + peers
        return take_turns(bed, case, [(target, case.plan) for target in targets], say)


def take_turns(bed: Bed, case: Case, sides: list[tuple[Target, Plan]], say: Callable[[str], None]) -> Comparison:
    """Run the rounds of targets that are there, each under its own load."""
    comparison = Comparison(case, {}, [])
    for target, _plan in sides:  # what the first answers load once is no stream's memory
        run(_WARM_UP, target.name, target.address, target.usage, bed.upstream.pid)
    for number in range(case.rounds):
        for target, plan in sides:
            bed.ask("/bench/reset")
            result = run(plan, target.name, target.address, target.usage, bed.upstream.pid, target.beside_pid)
            target.check()
            comparison.results.setdefault(target.name, []).append(result)
            comparison.warnings += _warnings(result, bed.ask("/bench/stats")["late_max_ms"])
            say(_line(case, number, result))
            bed.wait_until_idle()
    return comparison


def middle(spreads: list[Spread]) -> Spread:
    """Bring the rounds' own percentiles to their medians."""
    return Spread(
        sum(spread.count for spread in spreads),
        statistics.median(spread.p50 for spread in spreads),
        statistics.median(spread.p99 for spread in spreads),
        max(spread.max for spread in spreads),
    )


def _warnings(result: Result, late_ms: float) -> list[str]:
    busy = {"the scripted upstream": result.upstream_busy, "the load generator": result.own_busy}
    warnings = [
        f"{who} used {share:.0%} of a core in a round of {result.target}: its figures are not the target's own"
        for who, share in busy.items()
        if share > TOO_BUSY
    ]
    if result.others_busy > TOO_DISTURBED:
        warnings.append(
            f"other programs took {result.others_busy:.1f} cores in a round of {result.target}: lags say more of them"
        )
    if late_ms > TOO_LATE_MS:
        warnings.append(f"the scripted upstream was up to {late_ms:.0f} ms late in a round of {result.target}")
    return warnings


def _line(case: Case, number: int, result: Result) -> str:
    troubles = "".join(f"; {count} x {trouble}" for trouble, count in result.troubles.items())
    return (
        f"{case.name}, round {number + 1}, {result.target}: {result.cpu_us:.1f} us/token, "
        f"{result.chat_cpu_ms:.2f} ms/answer, {result.served:.1%} served, "
        f"busy {result.target_busy:.0%} (upstream {result.upstream_busy:.0%}, load {result.own_busy:.0%}, "
        f"others {result.others_busy:.0%}){troubles}"
    )
