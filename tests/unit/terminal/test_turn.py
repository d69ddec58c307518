"""One answer, shown while it is read: a signal is heard however fast events come, and none of them is lost."""

from __future__ import annotations

import io
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from clawgate.client import Answer, Interruption
from clawgate.client.events import Ended, Event, Started, Text
from clawgate.terminal import turn as module
from clawgate.terminal.plain import PlainDisplay
from clawgate.terminal.signals import Signals
from clawgate.terminal.turn import Outcome, Turn

STARTED = Started("s", "r", "m")


class FakeAnswer:
    """An answer of given events, that goes on behind an interrupt; `count` have been taken from it."""

    session_id, run_id = "s", "r"

    def __init__(self, events: Iterator[Event], interrupts_itself_at: int = 0) -> None:
        self.count = 0
        self._events = events
        self._interrupts_itself_at = interrupts_itself_at
        self.is_left = threading.Event()

    def __iter__(self) -> Iterator[Event]:
        try:
            for event in self._events:
                self.count += 1
                if self.count == self._interrupts_itself_at:
                    os.kill(os.getpid(), signal.SIGINT)
                yield event
        finally:
            self.is_left.set()

    def interrupt(self) -> Interruption:
        """Say that it is."""
        return Interruption("s", "r", True)


def shown(answer: FakeAnswer) -> Outcome:
    """Show it in a pipe."""
    with Signals() as signals:
        return Turn(cast("Answer", answer), PlainDisplay(io.StringIO())).show(signals)


def test_no_event_is_lost_however_many_come_at_once() -> None:
    texts = [str(number) for number in range(5 * module.MAX_WAITING)]
    outcome = shown(FakeAnswer(iter([STARTED, *map(Text, texts), Ended("stop")])))
    assert outcome.text == "".join(texts)
    assert outcome.end == Ended("stop")


def test_an_interrupt_is_heard_among_events_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0.02)
    endless = itertools.chain([STARTED], itertools.repeat(Text("word ")))
    answer = FakeAnswer(endless, interrupts_itself_at=1000)
    outcome = shown(answer)
    assert outcome.is_begun
    assert outcome.end is None
    assert len(outcome.text) >= 900 * len("word ")
    assert answer.is_left.wait(5), "an answer that was given up is read no more"
