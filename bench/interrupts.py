"""The time until an interrupt takes effect (`python -m bench.interrupts`), with 100 answers in flight, phase by phase.

For each interrupt: from sending POST /api/interrupt until (a) the upstream sees its connection closed, (b) the
interrupt is answered, (c) the reader has its end. An interrupted answer is replaced by a new one, so that as many stay
in flight; interrupts come at an even pace, a few at a time at most. The line "instrument" is the same without a
gateway: the generator hangs up on the upstream itself and asks it for its version; what it shows is the tools' own.

clawgate closes no connection on which nothing has come before the upstream's `load_duration` has passed, with a margin
(a real Ollama leaks one that is closed sooner); nobody waits for that. One answer tells it so before each phase, and
"beyond hold" is (a) counted from that moment where it is the later one.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.answers import Address
from bench.child import raise_file_limit
from bench.inflight import InFlight, Pace
from bench.measures import Sample, Spread
from bench.phases import PHASES, Phase
from bench.report import table, write_json
from bench.script import LOAD_NS, Script
from bench.targets import Bed, Target, bed, parse_settings

HOLD_US = LOAD_NS * 3 // 2000 + 10_000


@dataclass
class Timing:
    """The times that the interrupts of one phase took; `troubles` names what did not go as it must."""

    phase: str
    count: int = 0
    closed: Spread = field(default_factory=Spread)
    beyond_hold: Spread = field(default_factory=Spread)
    answered: Spread = field(default_factory=Spread)
    ended: Spread = field(default_factory=Spread)
    never_asked: int = 0
    gateway_busy: float = 0.0
    others_busy: float = 0.0
    troubles: dict[str, int] = field(default_factory=dict)

    def row(self) -> list[str]:
        """Return the cells of this phase's line."""
        spreads = (self.closed, self.beyond_hold, self.answered, self.ended)
        cells = [f"{s.p50:.1f} / {s.p99:.1f} / {s.max:.1f}" if s.count else "-" for s in spreads]
        troubles = ", ".join(f"{count} x {what}" for what, count in self.troubles.items()) or "none"
        busy = [f"{self.gateway_busy:.0%}", f"{self.others_busy:.0%}"]
        return [self.phase, str(self.count), *cells, str(self.never_asked), *busy, troubles]

    @classmethod
    def of(
        cls, name: str, flight: InFlight, tagged: dict[str, dict[str, int]], gateway_busy: float, others_busy: float
    ) -> Timing:
        """Bring what the generator saw and what the upstream saw together."""
        cuts = flight.cuts
        seen = {session: tagged.get(session, {}) for session in cuts}
        closed = {session: times["closed_us"] for session, times in seen.items() if "closed_us" in times}
        holds = {session: max(cuts[session].sent_us, seen[session]["received_us"] + HOLD_US) for session in closed}
        troubles = Counter(cut.trouble for cut in cuts.values() if cut.trouble) + flight.astray
        if left_open := sum(bool(times) and "closed_us" not in times for times in seen.values()):
            troubles["connection to the upstream not closed"] = left_open
        return cls(
            name,
            len(cuts),
            Spread.of_us([at - cuts[session].sent_us for session, at in closed.items()]),
            Spread.of_us([at - holds[session] for session, at in closed.items()]),
            Spread.of_us([cut.answered_us - cut.sent_us for cut in cuts.values() if cut.answered_us]),
            Spread.of_us([cut.ended_us - cut.sent_us for cut in cuts.values() if cut.ended_us]),
            sum(not times for times in seen.values()),
            gateway_busy,
            others_busy,
            dict(troubles),
        )


def run_phase(bed: Bed, phase: Phase, pace: Pace, settings: dict[str, Any]) -> Timing:
    """Interrupt as often as `pace` says in one phase, at a clawgate started for it alone."""
    with bed.fresh(), phase.endpoint(bed) as url:
        target = bed.clawgate(pace.slots, settings, url)
        if url == bed.upstream_url:
            _have_one_answer(target)
        return time_cuts(bed, target, InFlight(target.address, phase, pace), phase.name)


def _have_one_answer(target: Target) -> None:
    """Read one short answer, which shows clawgate the upstream's `load_duration`."""
    address, data = target.address, b""
    with socket.create_connection((address.host, address.port), 10) as sock:
        sock.sendall(address.request(Script(tokens=1), "first"))
        while not any(mark in data for mark in address.kind.ends):
            data += sock.recv(1 << 16) or sys.exit("bench: clawgate gives no answer")


def run_instrument(bed: Bed, pace: Pace) -> Timing:
    """Do the same with no gateway between: what the upstream and the generator take themselves."""
    target = Target("instrument", Address.parse(f"ndjson:{bed.upstream_url}"))
    return time_cuts(bed, target, InFlight(target.address, PHASES["text"], pace), target.name)


def time_cuts(bed: Bed, target: Target, flight: InFlight, name: str) -> Timing:
    """Let a flight's answers be cut, and bring together what was seen of that."""
    bed.ask("/bench/reset")
    before = Sample.take(0, target.usage, bed.upstream.pid)
    flight.run()
    after = Sample.take(0, target.usage, bed.upstream.pid)
    target.check()
    seconds = after.at_s - before.at_s
    gateway_busy = (after.target.cpu_s - before.target.cpu_s) / seconds
    others_busy = (after.others_cpu_s() - before.others_cpu_s()) / seconds
    return Timing.of(name, flight, bed.ask("/bench/closed"), gateway_busy, others_busy)


def timing_table(timings: list[Timing]) -> str:
    """Show the phases, one a line; a spread is p50 / p99 / max in milliseconds, `busy` the gateway."""
    head = ["phase", "cuts", "closed (ms)", "closed, beyond hold", "answered", "reader's end"]
    head += ["never asked", "busy", "others", "troubles"]
    return table(head, [timing.row() for timing in timings])


def main() -> None:
    """Measure every phase that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench.interrupts", description="how fast interrupts take effect")
    parser.add_argument("--streams", type=int, default=100, help="answers in flight")
    parser.add_argument("--count", type=int, default=500, help="interrupts in each phase")
    parser.add_argument("--per-second", type=float, default=50.0, help="their pace")
    parser.add_argument("--at-once", type=int, default=4, help="interrupts unanswered at a time, at most")
    parser.add_argument("--phase", action="append", choices=list(PHASES), help="default: all; may be repeated")
    parser.add_argument("--instrument-only", action="store_true", help="only what the tools take themselves")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of clawgate's")
    parser.add_argument("--limit-ms", type=float, help="exit 1 where closing takes longer at p99")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    raise_file_limit()
    pace = Pace(arguments.streams, arguments.count, arguments.per_second, arguments.at_once)
    settings = parse_settings(arguments.set)
    names = [] if arguments.instrument_only else arguments.phase or list(PHASES)
    timings: list[Timing] = []
    failure = ""
    try:
        with bed() as test_bed:
            timings.append(run_instrument(test_bed, pace))
            for name in names:
                print(f"{name} ...", file=sys.stderr)
                timings.append(run_phase(test_bed, PHASES[name], pace, settings))
    except RuntimeError as error:
        failure = f"bench: {error}"
    print(timing_table(timings))
    if arguments.json:
        write_json(arguments.json, {"pace": asdict(pace), "phases": [asdict(timing) for timing in timings]})
    too_slow = [one for one in timings[1:] if arguments.limit_ms and one.closed.p99 > arguments.limit_ms]
    sys.exit(failure or (1 if too_slow or any(one.troubles for one in timings) else 0))


if __name__ == "__main__":
    main()
