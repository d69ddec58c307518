"""The growth of the cost: `python -m bench.growth --json FILE` varies one thing at a time and measures clawgate alone.

Streams and rates are rounds of load (load.py). The length of an answer, the size of its history and the number of
sessions in the store are asked one answer after the other: the CPU of all divided by their number. Some eight minutes.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.child import raise_file_limit
from bench.load import Plan, run
from bench.report import say, table, write_json
from bench.script import Script
from bench.targets import Bed, Target, bed

STREAMS = (10, 30, 100, 300, 1000)
RATES = (5, 20, 50, 200, 500)
TOKENS = (10, 100, 1000, 5000, 20_000)
HISTORIES = (1 << 10, 1 << 14, 1 << 17, 1 << 20)
SESSIONS = (100, 1000, 10_000)
AT_ONCE = 32
FAST = 20_000.0
"""Tokens a second of the answers that are asked one by one: as fast as the upstream writes."""


@dataclass(frozen=True)
class Point:
    """One measurement: at so many `x`, so much CPU."""

    axis: str
    x: int
    value: float
    unit: str


def measure(test_bed: Bed, say: Callable[[str], None]) -> list[Point]:
    """Measure every axis, the cheap ones last."""
    points: list[Point] = []
    for point in _all(test_bed):
        say(f"{point.axis} {point.x}: {point.value:.1f} {point.unit}")
        points.append(point)
    return points


def _all(test_bed: Bed) -> Iterator[Point]:
    for streams in STREAMS:
        result = _round(test_bed, Plan(streams, 20, 5, probes=0))
        yield Point("streams, 20 tokens/s each", streams, 1e6 * result / streams, "us CPU per stream and second")
    for rate in RATES:
        result = _round(test_bed, Plan(50, rate, 5, probes=0))
        yield Point("tokens/s, 50 streams", rate, 1e6 * result / 50, "us CPU per stream and second")
    for tokens in TOKENS:
        value = _one_by_one(test_bed, max(3, 2000 // tokens), Script(rate=FAST, tokens=tokens))
        yield Point("tokens of an answer", tokens, value, "ms CPU per answer")
    for size in HISTORIES:
        value = _one_by_one(test_bed, 60, Script(rate=FAST, tokens=10), history_bytes=size)
        yield Point("bytes of history", size, value, "ms CPU per answer")
    for sessions in SESSIONS:
        value = _one_by_one(test_bed, 200, Script(rate=FAST, tokens=10), before=sessions)
        yield Point("sessions in the store", sessions, value, "ms CPU per answer")


def _round(test_bed: Bed, plan: Plan) -> float:
    """Run one round of load and return how much of a core it took."""
    with test_bed.fresh():
        target = test_bed.start("clawgate", plan.slots, {})
        result = run(plan, target.name, target.address, target.usage, test_bed.upstream.pid)
        test_bed.wait_until_idle()
    return result.target_busy


def _one_by_one(test_bed: Bed, count: int, script: Script, history_bytes: int = 0, before: int = 0) -> float:
    """Ask answers one after the other, each in a session of its own, and return the CPU of one in ms.

    before: so many are asked first and not counted, which leaves as many sessions in the store.
    """
    settings: dict[str, Any] = {"session.max_sessions": 100_000, "session.max_context_bytes": 4 << 20}
    with test_bed.fresh():
        target = test_bed.start("clawgate", AT_ONCE, settings)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            warm_up = partial(_ask, target, Script(rate=FAST, tokens=1), history_bytes=0)
            list(pool.map(warm_up, (f"before-{number}" for number in range(max(before, 3)))))
        begin = target.usage().cpu_s
        for number in range(count):
            _ask(target, script, f"counted-{number}", history_bytes)
        return (target.usage().cpu_s - begin) * 1000 / count


def _ask(target: Target, script: Script, session: str, history_bytes: int) -> None:
    address = target.address
    with socket.create_connection((address.host, address.port), 60) as sock:
        sock.sendall(address.request(script, session, history_bytes))
        received = bytearray()
        while b'"done":true' not in received[-2000:]:
            piece = sock.recv(1 << 18)
            if not piece:
                raise RuntimeError(f"an answer broke off: {bytes(received[-200:])!r}")
            received += piece


def main() -> None:
    """Measure, print the table, and keep the points."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="how clawgate's cost grows")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    raise_file_limit()
    began_at = time.monotonic()
    with bed() as test_bed:
        points = measure(test_bed, say)
    rows = [[point.axis, f"{point.x:,}", f"{point.value:.1f} {point.unit}"] for point in points]
    print(table(["what grows", "to", "cost"], rows))
    print(f"\n{time.monotonic() - began_at:.0f} s")
    if arguments.json:
        write_json(arguments.json, {"growth": [asdict(point) for point in points]})


if __name__ == "__main__":
    main()
