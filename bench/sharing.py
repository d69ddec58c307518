"""The cost of sharing sessions (`python -m bench.sharing`): Redis in place of memory, two workers in place of one,
interrupts that come in elsewhere, and readers that follow elsewhere.

Each is compared in one run, in turn; ratios are taken within a round. Goals: with two workers and twice the streams a
token costs at most `MOST_RISE` of what it costs with one, and 99 of 100 interrupts that come in elsewhere have closed
the connection to the model within `MOST_MS`, with `--idle` also after the gateways have done nothing for so long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.child import end_at_sigterm, raise_file_limit
from bench.doors import ThroughDoors
from bench.following import RUNS, Followed, FollowedRound
from bench.inflight import Pace
from bench.interrupts import Timing, time_cuts
from bench.load import Plan
from bench.measures import Spread
from bench.report import comparison_json, say, table, write_json
from bench.rounds import Case, Comparison, middle, take_turns
from bench.targets import Bed, Redis, Target, bed, parse_settings

MOST_RISE = 1.15
MOST_MS = 50.0
LOAD = Plan(streams=100, rate=50, window_s=4, probes=60)
ONE_WORKER = Plan(streams=100, rate=25, window_s=4, probes=0)
TWO_WORKERS = Plan(streams=200, rate=25, window_s=4, probes=0)
SLOTS = 240
CUTS = 150
PARTS = ("redis", "workers", "interrupts", "readers")


@dataclass
class Gateways:
    """The processes on one Redis: two gateways of one worker, one of two workers."""

    redis: Redis
    one: Target
    other: Target
    two: Target


class Measurement:
    """All parts, on one test bed.

    Threads: its caller's.
    """

    def __init__(self, bed: Bed, rounds: int, settings: dict[str, Any]) -> None:
        self._bed, self._rounds, self._settings = bed, rounds, settings
        self.texts: list[str] = []
        self.found: dict[str, Any] = {}
        self.is_fine = True

    def run(self, parts: tuple[str, ...], idle_minutes: float) -> None:
        """Measure the parts that are named."""
        with self._gateways() as gateways:
            if "redis" in parts:
                self._compare_redis(gateways)
            if "workers" in parts:
                self._compare_workers(gateways)
            if "readers" in parts:
                self._compare_readers(gateways)
            if "interrupts" in parts:
                self._interrupt(gateways, "interrupts")
                if idle_minutes:
                    say(f"idle for {idle_minutes:g} minutes ...")
                    time.sleep(idle_minutes * 60)
                    self._interrupt(gateways, f"interrupts, after {idle_minutes:g} idle minutes")

    @contextmanager
    def _gateways(self) -> Iterator[Gateways]:
        with self._bed.fresh():
            redis = self._bed.redis()
            one, other = (self._shared(redis, name) for name in ("1 worker", "another gateway"))
            yield Gateways(redis, one, other, self._shared(redis, "2 workers", workers=2))

    def _shared(self, redis: Redis, name: str, workers: int = 1) -> Target:
        shared = {"session.backend": "redis", "session.redis_url": redis.url, "server.workers": workers}
        return self._bed.clawgate(SLOTS, shared | self._settings, name=name, beside_pid=redis.pid)

    def _compare_redis(self, gateways: Gateways) -> None:
        with self._bed.fresh():
            memory = self._bed.clawgate(SLOTS, self._settings, name="in memory")
            self._compare(
                "sessions in memory and in Redis", [(memory, LOAD), (replace(gateways.one, name="in Redis"), LOAD)]
            )

    def _compare_workers(self, gateways: Gateways) -> None:
        sides = [(gateways.one, ONE_WORKER), (gateways.two, TWO_WORKERS)]
        comparison = self._compare("one worker, and two with twice the streams", sides)
        ratio = comparison.ratio(gateways.two.name, gateways.one.name) or 0.0
        self._judge(f"CPU per token with two workers: {ratio:.2f} of one's", ratio, MOST_RISE)

    def _compare(self, name: str, sides: list[tuple[Target, Plan]]) -> Comparison:
        case = Case(name, sides[0][1], (), self._rounds, self._settings)
        comparison = take_turns(self._bed, case, sides, say)
        self.texts.append(comparison_text(comparison, sides))
        self.found[name] = comparison_json(comparison)
        for summary in comparison.summaries.values():
            self._expect_all(summary.target, summary.complete, summary.expected)
        return comparison

    def _compare_readers(self, gateways: Gateways) -> None:
        doors = {"nobody": None, "at the same process": gateways.one, "at another gateway": gateways.other}
        rounds: dict[str, list[Followed]] = {way: [] for way in doors}
        for number in range(self._rounds):
            for way, door in doors.items():
                followed = FollowedRound(self._bed, gateways.one, gateways.other, door).run(way)
                rounds[way].append(followed)
                say(f"readers, round {number + 1}, {way}: {followed.owner_us:.1f} + {followed.reader_us:.1f} us/token")
                self._bed.wait_until_idle()
        self.texts.append(followed_text(rounds))
        self.found["readers"] = {way: [asdict(each) for each in found] for way, found in rounds.items()}
        for way, found in rounds.items():
            self._expect_all(way, sum(each.complete for each in found), sum(each.expected for each in found))

    def _interrupt(self, gateways: Gateways, name: str) -> None:
        two, other, pace = gateways.two, gateways.other, Pace(count=CUTS)
        doors = {
            "at the same worker": (two, 2, True),
            "at the other worker": (two, 2, False),
            "at the other gateway": (other, 1, False),
        }
        rounds: dict[str, list[Timing]] = {door: [] for door in doors}
        for number in range(self._rounds):
            for door, (target, workers, is_own) in doors.items():
                flight = ThroughDoors(two.address, pace, target.address, is_own=is_own)
                flight.open(workers)
                timing = time_cuts(self._bed, two, flight, door)
                rounds[door].append(timing)
                say(f"{name}, round {number + 1}, {door}: {timing.closed.p50:.1f} / {timing.closed.p99:.1f} ms")
                self._bed.wait_until_idle()
        self.texts.append(cuts_text(name, rounds))
        self.found[name] = {door: [asdict(each) for each in found] for door, found in rounds.items()}
        for door, found in rounds.items():
            self.is_fine = self.is_fine and not any(each.troubles for each in found)
            p99 = middle([each.closed for each in found]).p99
            self._judge(f"{name} {door}: closed after {p99:.1f} ms (p99)", p99, MOST_MS)

    def _expect_all(self, who: str, complete: int, expected: int) -> None:
        if complete < expected:
            self.texts.append(f"{who}: {expected - complete} answers were not complete")
            self.is_fine = False

    def _judge(self, what: str, value: float, most: float) -> None:
        is_met = value <= most
        self.is_fine = self.is_fine and is_met
        self.texts.append(f"{what}; goal: at most {most:g}: {'met' if is_met else 'missed'}")


def comparison_text(comparison: Comparison, sides: list[tuple[Target, Plan]]) -> str:
    """Show a comparison, one target a line, with ratios to the first."""
    first = sides[0][0].name
    head = ["gateway", "load", "CPU/token", "ratio", "CPU/answer", "ratio", "Redis/token", "first token + p50 / p99"]
    head += ["lag p50 / p99", "others", "complete"]
    rows = []
    for (target, plan), summary in zip(sides, comparison.summaries.values(), strict=True):
        results = comparison.results[target.name]
        rows.append(
            [
                target.name,
                f"{plan.streams} x {plan.rate:g}/s",
                f"{summary.cpu_us_median:.1f} us",
                _ratio(comparison.ratio(target.name, first)),
                f"{summary.answer_cpu_ms:.2f} ms",
                _ratio(comparison.ratio(target.name, first, "answer_cpu_ms")),
                f"{median(result.beside_us for result in results):.2f} us",
                _spread(summary.added if plan.probes else summary.added_opening),
                _spread(summary.lag),
                f"{median(result.others_busy for result in results):.0%}",
                f"{summary.complete} of {summary.expected}",
            ]
        )
    warnings = "".join(f"\nwarning: {warning}" for warning in dict.fromkeys(comparison.warnings))
    return f"{comparison.case.name}, {comparison.case.rounds} rounds\n\n{table(head, rows)}\n{warnings}"


def followed_text(rounds: dict[str, list[Followed]]) -> str:
    """Show what readers cost, one way a line; a ratio is that of the owner's CPU to an owner whom nobody else reads."""
    alone = next(iter(rounds.values()))
    rows = [
        [
            way,
            _median_us(found, lambda each: each.owner_us),
            _ratio(median(each.owner_us / max(0.01, base.owner_us) for each, base in zip(found, alone, strict=True))),
            _median_us(found, lambda each: each.reader_us),
            _median_us(found, lambda each: each.beside_us),
            _spread(middle([each.lag for each in found])),
            f"{median(each.others_busy for each in found):.0%}",
            f"{sum(each.complete for each in found)} of {sum(each.expected for each in found)}",
        ]
        for way, found in rounds.items()
    ]
    head = [
        "followed",
        "owner's CPU/token",
        "ratio",
        "other gateway's",
        "Redis'",
        "lag p50 / p99",
        "others",
        "complete",
    ]
    return f"{RUNS} answers, each followed by one reader more\n\n{table(head, rows)}\n"


def cuts_text(name: str, rounds: dict[str, list[Timing]]) -> str:
    """Show the interrupts, one door a line; times are the medians of the rounds' own percentiles."""
    rows = []
    for door, found in rounds.items():
        troubles = ", ".join(f"{count} x {what}" for each in found for what, count in each.troubles.items())
        spreads = [middle([getattr(each, what) for each in found]) for what in ("closed", "answered", "ended")]
        others = f"{median(each.others_busy for each in found):.0%}"
        rows.append(
            [door, str(sum(e.count for e in found)), *map(_spread_and_most, spreads), others, troubles or "none"]
        )
    head = ["come in", "cuts", "closed p50 / p99 / max", "answered", "reader's end", "others", "troubles"]
    return f"{name}\n\n{table(head, rows)}\n"


def _median_us(found: list[Followed], cost: Callable[[Followed], float]) -> str:
    return f"{median(map(cost, found)):.1f} us"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _spread(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p99:.1f} ms"


def _spread_and_most(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p99:.1f} / {spread.max:.1f} ms"


def main() -> None:
    """Measure what the command line names; exit 1 where a goal is missed or an answer is not complete."""
    parser = argparse.ArgumentParser(prog="python -m bench.sharing", description="what sharing sessions costs")
    parser.add_argument("--rounds", type=int, default=3, help="of each side, taken in turn")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all; may be repeated")
    parser.add_argument("--idle", type=float, default=0, metavar="MINUTES", help="interrupt again after so long")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of clawgate's")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    end_at_sigterm()
    raise_file_limit()
    try:
        with bed() as test_bed:
            measurement = Measurement(test_bed, arguments.rounds, parse_settings(arguments.set))
            measurement.run(tuple(arguments.part or PARTS), arguments.idle)
    except (RuntimeError, ValueError) as error:
        sys.exit(f"bench: {error}")
    print("\n".join(measurement.texts))
    if arguments.json:
        write_json(arguments.json, measurement.found)
    sys.exit(0 if measurement.is_fine else 1)


if __name__ == "__main__":
    main()
