"""Readers that follow answers: at nobody's wish, at the process that drives them, or at another one.

Each round opens answers at one gateway. A followed answer has one more reader, at a door. The owner's
CPU and that of the gateway behind the door are counted apart, by the tokens that the answers' askers get in a window.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace

from bench.answers import Address, Answer
from bench.kinds import KINDS
from bench.loop import Loop
from bench.measures import Sample, Spread
from bench.proc import usage
from bench.script import Script, now_us
from bench.targets import Bed, Target

RUNS = 20
RATE = 50.0
FOLLOWED_AFTER_S = 0.4
SETTLE_S = 1.0
WINDOW_S = 3.0
PATIENCE_S = 5.0


@dataclass
class Followed:
    """The cost of a round of followed answers.

    Units: owner_us, reader_us, beside_us are CPU per token of the gateway that drives the answers, of the one that only
    reads them, and of Redis. `lag` is that of the followers' tokens, or of the askers' where nobody follows.
    """

    way: str
    owner_us: float = 0.0
    reader_us: float = 0.0
    beside_us: float = 0.0
    others_busy: float = 0.0
    lag: Spread = field(default_factory=Spread)
    complete: int = 0
    expected: int = 0


class FollowedRound:
    """One round: answers at the owner, and a follower of each at a door; None where nobody follows."""

    def __init__(self, bed: Bed, owner: Target, other: Target, door: Target | None) -> None:
        self._bed, self._owner, self._other, self._door = bed, owner, other, door
        self._loop = Loop()
        self._lags, self._follower_lags = array("q"), array("q")
        self._answers: list[Answer] = []
        self._followers: list[Answer] = []
        self._samples: list[tuple[Sample, float, int]] = []

    def run(self, way: str) -> Followed:
        """Go through the round and return what it found."""
        window_from_s = FOLLOWED_AFTER_S + SETTLE_S
        length_s = window_from_s + WINDOW_S + 0.5
        script = Script(rate=RATE, tokens=int(RATE * length_s))
        for number in range(RUNS):
            session = f"followed-{now_us()}-{number}"
            self._open(self._answers, self._owner.address, script, session, self._lags)
            self._loop.after(FOLLOWED_AFTER_S, lambda session=session: self._follow(script, session))  # type: ignore[misc]
        for at_s in (window_from_s, window_from_s + WINDOW_S):
            self._loop.after(at_s, self._sample)
        self._loop.run(length_s + PATIENCE_S)
        for answer in self._answers + self._followers:
            answer.hang_up()
        return self._result(way)

    def _follow(self, script: Script, session: str) -> None:
        if self._door is not None:
            address = replace(self._door.address, kind=KINDS["follow"])
            self._open(self._followers, address, script, session, self._follower_lags)

    def _open(self, kept: list[Answer], address: Address, script: Script, session: str, lags: array[int]) -> None:
        kept.append(Answer(self._loop, address, script, session, lags, self._ended))

    def _ended(self, _answer: Answer) -> None:
        if len(self._samples) == 2 and all(each.reader.is_over for each in self._answers + self._followers):
            self._loop.stop()

    def _sample(self) -> None:
        upstream_pid, redis_pid = self._bed.upstream.pid, self._owner.beside_pid
        sample = Sample.take(len(self._lags), self._owner.usage, upstream_pid, redis_pid)
        self._samples.append((sample, usage(self._other.pid).cpu_s, len(self._follower_lags)))

    def _result(self, way: str) -> Followed:
        (begin, other_begin_s, lags_begin), (end, other_end_s, lags_end) = self._samples
        other_s, tokens = other_end_s - other_begin_s, max(1, end.tokens - begin.tokens)
        lags = self._follower_lags[lags_begin:lags_end] if self._followers else self._lags[begin.tokens : end.tokens]
        return Followed(
            way,
            owner_us=(end.target.cpu_s - begin.target.cpu_s) * 1e6 / tokens,
            reader_us=other_s * 1e6 / tokens,
            beside_us=(end.beside.cpu_s - begin.beside.cpu_s) * 1e6 / tokens,
            others_busy=(end.others_cpu_s() - begin.others_cpu_s() - other_s) / (end.at_s - begin.at_s),
            lag=Spread.of_us(lags),
            complete=sum(answer.is_complete for answer in self._answers + self._followers),
            expected=len(self._answers) + len(self._followers),
        )
