"""Keeps N answers in flight at a target, cuts them one after the other at an even pace, and replaces what was cut."""

from __future__ import annotations

import itertools
import json
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

from bench.answers import Address, Answer
from bench.calls import Caller
from bench.kinds import post
from bench.loop import Loop
from bench.phases import Phase
from bench.script import TOKEN, now_us

OPEN_PER_S = 100.0
PATIENCE_S = 8.0
FRESH_DELAYS_S = (0.0, 0.01, 0.02, 0.03)


@dataclass(frozen=True)
class Pace:
    """The number of answers in flight, and the way in which their interrupts come."""

    streams: int = 100
    count: int = 500
    per_s: float = 50.0
    at_once: int = 4

    @property
    def slots(self) -> int:
        """Count the answers that may be in flight at a time, those included that a new one follows just now."""
        return self.streams + 4 * self.at_once


@dataclass
class Cut:
    """One interrupt: when it was sent and answered, when its reader had the end, and what went wrong with it.

    Units: microseconds of the machine's clock; 0 is not (yet). partial_tokens: -1 where no partial text came back.
    """

    answer: Answer
    sent_us: int
    answered_us: int = 0
    ended_us: int = 0
    partial_tokens: int = -1
    trouble: str = ""


class InFlight:
    """The answers in flight and the interrupts that go through them.

    To cut is to hang up where the target is the upstream itself (raw NDJSON, no gateway).
    """

    def __init__(self, address: Address, phase: Phase, pace: Pace) -> None:
        self.address, self.phase, self.pace = address, phase, pace
        self.is_direct = address.kind.name == "ndjson"
        self.cuts: dict[str, Cut] = {}
        self.astray: Counter[str] = Counter()
        self._loop = Loop()
        self._callers: list[Caller] = []
        self._open: list[Answer] = []
        self._lags: array[int] = array("q")
        self._numbers = itertools.count()
        self._fresh: set[Answer] = set()
        self._begun = self._unanswered = 0

    def run(self) -> list[Cut]:
        """Bring the answers into flight, cut as often as the pace says, hang up on the rest."""
        pace, start = self.pace, now_us()
        for number in range(pace.streams):
            self._loop.at(start + int(number / OPEN_PER_S * 1e6), self._fly)
        self._loop.after(pace.streams / OPEN_PER_S + 1.0, self._next)
        self._loop.run(pace.streams / OPEN_PER_S + 2 * pace.count / pace.per_s + PATIENCE_S)
        for cut in self.cuts.values():
            cut.trouble = cut.trouble or self._judge(cut)
        for answer in [*self._open, *self._fresh, *(cut.answer for cut in self.cuts.values())]:
            answer.done = _nothing
            answer.hang_up()
        for caller in self._callers:
            caller.close()
        return list(self.cuts.values())

    def _fly(self) -> None:
        self._open.append(self._ask())

    def _ask(self) -> Answer:
        name = f"cut-{id(self)}-{next(self._numbers)}"
        script = replace(self.phase.script, tag=name)
        return Answer(self._loop, self.address, script, name, self._lags, self._ended, self._on_read)

    def _next(self) -> None:
        """Begin the next interrupt, unless as many as allowed are still unanswered."""
        if self._begun < self.pace.count:
            if self._unanswered < self.pace.at_once:
                self._begin()
        elif not self._unanswered:
            self._loop.after(0.5, self._loop.stop)
            return
        self._loop.after(1 / self.pace.per_s, self._next)

    def _begin(self) -> None:
        answer = self._ask() if self.phase.is_fresh else next(filter(self.phase.is_reached, self._open), None)
        if answer is None:
            return
        self._begun += 1
        self._unanswered += 1
        if self.phase.is_fresh:
            self._fresh.add(answer)
        else:
            self._open.remove(answer)
            self._cut(answer)

    def _on_read(self, answer: Answer) -> None:
        """Cut a fresh answer soon after its first event."""
        if answer in self._fresh and answer.reader.events:
            self._fresh.remove(answer)
            self._loop.after(FRESH_DELAYS_S[self._begun % len(FRESH_DELAYS_S)], partial(self._cut, answer))

    def _cut(self, answer: Answer) -> None:
        caller = self._caller_for(answer)
        host = f"{self.address.host}:{self.address.port}"
        request = post("/api/interrupt", {"session_id": answer.session}, host)
        if self.is_direct:
            request = f"GET /api/version HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.cuts[answer.session] = cut = Cut(answer, now_us())
        if self.is_direct:
            answer.hang_up()
        caller.call(request, partial(self._answered, cut))

    def _caller_for(self, _answer: Answer) -> Caller:
        """Return a connection for the interrupt of an answer."""
        caller = next((caller for caller in self._callers if caller.is_free), None)
        if caller is None:
            caller = Caller(self._loop, self.address.host, self.address.port)
            self._callers.append(caller)
        return caller

    def _answered(self, cut: Cut, status: int, body: bytes, at_us: int) -> None:
        self._unanswered -= 1
        cut.answered_us = at_us
        if not self.is_direct:
            found = json.loads(body) if status == 200 else {}
            cut.trouble = "" if found.get("interrupted") else f"not interrupted (HTTP {status})"
            cut.partial_tokens = len(TOKEN.findall(found.get("partial", "").encode()))
        if not self.phase.is_fresh:
            self._fly()

    def _ended(self, answer: Answer) -> None:
        """Note that a reader has its end, expected or not."""
        if answer.session in self.cuts:
            self.cuts[answer.session].ended_us = now_us()
            return
        self.astray[answer.reader.error or f"ended by itself: {answer.reader.reason}"] += 1
        if answer in self._open:
            self._open.remove(answer)
            self._loop.after(0.1, self._fly)
        elif self.phase.is_fresh:
            self._fresh.discard(answer)
            self._unanswered -= 1

    def _judge(self, cut: Cut) -> str:
        """Say what is wrong with an interrupt whose answer was right."""
        reader = cut.answer.reader
        if not cut.answered_us or not cut.ended_us:
            return "not answered" if not cut.answered_us else "the reader has no end"
        if self.is_direct:
            return ""
        if reader.ends != 1 or reader.reason != "interrupted":
            return f"{reader.ends} ends, the reason {reader.reason}"
        if not cut.answer.script.thinking and cut.partial_tokens != reader.tokens:
            return "partial text is not what the reader got"
        return ""


def _nothing(_answer: Answer) -> None:
    """Stand for `done` while the rest is hung up on."""
