"""The cost of opening an answer (`python -m bench.burst`): short chats, and a burst of long ones, side by side.

Short chats have three frames, so their cost is that of opening and ending an answer. In a burst all streams are opened
within two seconds. Its first tokens are those of these very streams, and its lags those of a window that begins one
second after the last stream was asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.child import end_at_sigterm, raise_file_limit
from bench.load import Plan
from bench.measures import Spread
from bench.report import comparison_json, say, table, write_json
from bench.rounds import Case, Comparison, Summary, compare
from bench.targets import PROGRAMS, Bed, bed, nginx, parse_settings

WITHIN_S = 2.0
SHORT_CHATS = Plan(streams=600, rate=100, window_s=0.5, ramp_per_s=100, settle_s=0, probes=0, frames=3)


def burst(streams: int, rate: float) -> Plan:
    """Plan a burst of so many streams, each of so many frames a second."""
    return Plan(streams, rate, window_s=4, ramp_per_s=streams / WITHIN_S, settle_s=1, probes=0, patience_s=15)


def measure(
    bed: Bed, plan: Plan, names: tuple[str, ...], rounds: int, settings: dict[str, Any], say: Callable[[str], None]
) -> Comparison:
    """Run one of the two, each program in turn."""
    name = "short chats" if plan.frames else f"{plan.streams} x {plan.rate:g}/s within {WITHIN_S:g} s"
    return compare(bed, Case(name, plan, names, rounds, settings), [], say)


def opening_table(comparison: Comparison) -> str:
    """Show what opening costs, one target a line."""
    head = ["target", "CPU/chat", "x nginx", "x naive", "first token + p50 / p99 / max", "lag p50 / p99", "complete"]
    rows = [_row(summary, comparison) for summary in comparison.summaries.values()]
    title = f"{comparison.case.name}, {comparison.case.rounds} rounds"
    return f"{title}\n\n{table(head, rows)}\n" + "".join(f"\nwarning: {warning}" for warning in comparison.warnings)


def _row(summary: Summary, comparison: Comparison) -> list[str]:
    ratios = [comparison.ratio(summary.target, other, "chat_cpu_ms") for other in ("nginx", "naive")]
    first: Spread = summary.added_opening
    return [
        summary.target,
        f"{summary.chat_cpu_ms:.2f} ms",
        *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        f"{first.p50:.1f} / {first.p99:.1f} / {first.max:.1f} ms",
        f"{summary.lag.p50:.1f} / {summary.lag.p99:.1f} ms",
        f"{summary.complete} of {summary.expected}",
    ]


def main() -> None:
    """Measure both, or what the command line leaves of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.burst", description="what opening an answer costs")
    parser.add_argument("--rounds", type=int, default=3, help="of each target, taken in turn")
    parser.add_argument("--streams", type=int, default=1000, help="of the burst; 0 leaves it out")
    parser.add_argument("--rate", type=float, default=20.0, help="frames a second of each of its streams")
    parser.add_argument("--chats", type=int, default=SHORT_CHATS.streams, help="short ones; 0 leaves them out")
    parser.add_argument("--only", default=",".join(PROGRAMS), help="of clawgate, naive, nginx")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of clawgate's")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    end_at_sigterm()
    raise_file_limit()
    names = tuple(name for name in arguments.only.split(",") if name != "nginx" or nginx() is not None)
    plans = [replace(SHORT_CHATS, streams=arguments.chats)] if arguments.chats else []
    plans += [burst(arguments.streams, arguments.rate)] if arguments.streams else []
    settings = parse_settings(arguments.set)
    comparisons = []
    try:
        with bed() as test_bed:
            for plan in plans:
                comparisons.append(measure(test_bed, plan, names, arguments.rounds, settings, say))
    except (RuntimeError, ValueError) as error:
        sys.exit(f"bench: {error}")
    print("\n\n".join(opening_table(comparison) for comparison in comparisons))
    if arguments.json:
        write_json(arguments.json, {"comparisons": [comparison_json(comparison) for comparison in comparisons]})


if __name__ == "__main__":
    main()
