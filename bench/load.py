"""The load generator: N streams against one target, with what they cost and how late they were.

`python -m bench.load clawgate:http://127.0.0.1:18789` puts load on any running target whose model is bench.upstream;
bench.run calls `run` for every round. One process, one loop. A round goes: open N streams over `ramp_s`, let them
settle, measure for `window_s`, then ask for further short answers beside them (the time to first token under load),
then wait for every stream's end. CPU per token is that of the window: opening answers is counted apart.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench.answers import Address, Answer
from bench.child import raise_file_limit
from bench.loop import Loop
from bench.measures import Result, Sample, Spread
from bench.proc import Usage, usage
from bench.script import Script, now_us


@dataclass(frozen=True)
class Plan:
    """One round's load: how much, and for how long."""

    streams: int = 100
    rate: float = 50.0
    window_s: float = 6.0
    ramp_per_s: float = 80.0
    settle_s: float = 1.0
    probes: int = 90
    probes_per_s: float = 30.0
    patience_s: float = 6.0
    history_bytes: int = 0
    frames: int = 0
    """The length of each answer; 0: it outlasts window and probes."""

    @property
    def window_from_s(self) -> float:
        """Say when the window begins, counted from the round's start."""
        return self.streams / self.ramp_per_s + self.settle_s

    @property
    def tokens(self) -> int:
        """Count the tokens of a stream."""
        lasting_s = self.window_from_s + self.window_s + self.probes / self.probes_per_s + 0.5
        return self.frames or math.ceil(self.rate * lasting_s)

    @property
    def deadline_s(self) -> float:
        """Say when the round is over even if not every stream is."""
        return self.streams / self.ramp_per_s + self.tokens / self.rate + self.patience_s

    @property
    def slots(self) -> int:
        """Count the answers that may be in flight at once."""
        return self.streams + min(self.probes, 32)


class Round:
    """One round against one target: opens, samples, collects."""

    def __init__(
        self, plan: Plan, address: Address, read_target: Callable[[], Usage], upstream_pid: int, beside_pid: int = 0
    ) -> None:
        self.plan, self.address, self.read_target = plan, address, read_target
        self.upstream_pid, self.beside_pid = upstream_pid, beside_pid
        self.loop = Loop()
        self.lags, self.probe_lags = array("q"), array("q")
        self.streams: list[Answer] = []
        self.probes: list[Answer] = []
        self.samples: list[Sample] = []
        self.events: list[int] = []
        self.open = 0
        self.stamp = now_us()

    def run(self, name: str) -> Result:
        """Go through the round and return what it found. Takes at most `plan.deadline_s`."""
        plan, start = self.plan, now_us()
        self._sample()
        for number in range(plan.streams):
            self.loop.at(start + int(number / plan.ramp_per_s * 1e6), self._open_stream)
        window_s = plan.window_from_s
        for at_s in (window_s, window_s + plan.window_s):
            self.loop.at(start + int(at_s * 1e6), self._sample)
        for number in range(plan.probes):
            at_s = window_s + plan.window_s + number / plan.probes_per_s
            self.loop.at(start + int(at_s * 1e6), self._open_probe)
        gc.collect()
        gc.disable()
        try:
            self.loop.run(plan.deadline_s)
        finally:
            gc.enable()
        for answer in self.streams + self.probes:
            answer.hang_up()
        self._sample()
        return self._result(name)

    def _open_stream(self) -> None:
        script = Script(rate=self.plan.rate, tokens=self.plan.tokens)
        self._open(script, self.streams, self.lags)

    def _open_probe(self) -> None:
        self._open(Script(rate=self.plan.rate, tokens=3), self.probes, self.probe_lags)

    def _open(self, script: Script, kept: list[Answer], lags: array[int]) -> None:
        self.open += 1
        session = f"bench-{self.stamp}-{self.open}-{len(kept)}"
        kept.append(Answer(self.loop, self.address, script, session, lags, self._ended, None, self.plan.history_bytes))

    def _ended(self, _answer: Answer) -> None:
        self.open -= 1
        self._stop_if_over()

    def _sample(self) -> None:
        self.samples.append(Sample.take(len(self.lags), self.read_target, self.upstream_pid, self.beside_pid))
        self.events.append(sum(answer.reader.events for answer in self.streams))
        self._stop_if_over()

    def _stop_if_over(self) -> None:
        if not self.open and len(self.samples) >= 3 and len(self.probes) == self.plan.probes:
            self.loop.stop()

    def _result(self, name: str) -> Result:
        before, begin, end, after = self.samples
        window_s, tokens = end.at_s - begin.at_s, end.tokens - begin.tokens
        cpu_us = (end.target.cpu_s - begin.target.cpu_s) * 1e6 / max(1, tokens)
        all_tokens, answers = len(self.lags) + len(self.probe_lags), len(self.streams) + len(self.probes)
        whole_us = (after.target.cpu_s - before.target.cpu_s) * 1e6
        return Result(
            name,
            tokens_per_s=tokens / window_s,
            expected_per_s=self.plan.streams * self.plan.rate,
            cpu_us=cpu_us,
            answer_cpu_ms=(whole_us - all_tokens * cpu_us) / 1000 / max(1, answers),
            chat_cpu_ms=whole_us / 1000 / max(1, answers),
            target_busy=(end.target.cpu_s - begin.target.cpu_s) / window_s,
            upstream_busy=(end.upstream.cpu_s - begin.upstream.cpu_s) / window_s,
            own_busy=(end.own_cpu_s - begin.own_cpu_s) / window_s,
            beside_us=(end.beside.cpu_s - begin.beside.cpu_s) * 1e6 / max(1, tokens),
            others_busy=(end.others_cpu_s() - begin.others_cpu_s()) / window_s,
            events_per_s=(self.events[2] - self.events[1]) / window_s,
            lag=Spread.of_us(self.lags[begin.tokens : end.tokens]),
            added=_added(self.probes),
            added_opening=_added(self.streams),
            idle=before.target,
            loaded=end.target,
            streams=self.plan.streams,
            complete=sum(answer.is_complete for answer in self.streams),
            probes=self.plan.probes,
            probes_complete=sum(answer.is_complete for answer in self.probes),
            troubles=dict(Counter(_trouble(answer) for answer in self.streams + self.probes if not answer.is_complete)),
        )


def run(
    plan: Plan, name: str, address: Address, read_target: Callable[[], Usage], upstream_pid: int, beside_pid: int = 0
) -> Result:
    """Run one round of load against a target."""
    return Round(plan, address, read_target, upstream_pid, beside_pid).run(name)


def _added(answers: list[Answer]) -> Spread:
    return Spread.of_us([answer.added_us for answer in answers if answer.reader.first_us])


def _trouble(answer: Answer) -> str:
    reader = answer.reader
    if reader.error or reader.disordered:
        return reader.error or "tokens lost, repeated or out of order"
    if not reader.tokens:
        return "never began"
    return "not finished in time" if not reader.ends else f"{reader.ends} ends, the reason {reader.reason}"


def main() -> None:
    """Put load on one running target and print what was found as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="streams against one target")
    parser.add_argument("target", help="KIND:http://HOST:PORT[/PATH], KIND one of clawgate, ndjson, openai")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="frames a second and stream")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the measured window")
    parser.add_argument("--history-bytes", type=int, default=0, help="size of the history that each request carries")
    parser.add_argument("--pid", type=int, default=0, help="the target's process, for its CPU and memory")
    parser.add_argument("--upstream-pid", type=int, default=0)
    parser.add_argument("--token", default="", help="sent as Authorization: Bearer")
    arguments = parser.parse_args()
    raise_file_limit()
    plan = Plan(arguments.streams, arguments.rate, arguments.seconds, history_bytes=arguments.history_bytes)
    try:
        address = Address.parse(arguments.target, arguments.token)
    except ValueError as error:
        parser.error(str(error))
    result = run(plan, arguments.target, address, lambda: usage(arguments.pid), arguments.upstream_pid)
    print(json.dumps(asdict(result), indent=2))


if __name__ == "__main__":
    main()
