"""The mirror: what the own runs have said, for readers elsewhere at once, and for all others once a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawgate.relay.events import Text
from clawgate.relay.locks import SessionLocks
from clawgate.relay.mirror import WANTED_S, Mirror
from clawgate.relay.peers import Fate
from clawgate.relay.prompt import Prompt
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent


class Clock:
    """A clock that the test sets; it counts how often it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


class MirrorRoom:
    """A mirror of three runs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.mirror = Mirror(SessionLocks(), self.clock)
        prompt = Prompt(model="m", messages=())
        self.runs = [Run(f"s{name}", name, prompt, lambda _answer: True, WakeEvent()) for name in "abc"]
        for run in self.runs:
            self.mirror.add(run)

    def written(self, *, is_everything: bool = False) -> dict[str, list[str]]:
        """Write down what there is; return the texts, by their run."""
        batches = self.mirror.batches(is_everything)
        self.mirror.note((batch, Fate(is_written=True)) for batch in batches)
        return {b.run_id: [event.text for event in b.events if isinstance(event, Text)] for b in batches}


@pytest.fixture
def room() -> Iterator[MirrorRoom]:
    """A mirror."""
    made = MirrorRoom()
    yield made
    for run in made.runs:
        run.release()


def test_a_reader_elsewhere_has_its_run_written_down_until_it_leaves(room: MirrorRoom) -> None:
    run = room.runs[1]
    assert room.mirror.want("b", "reader", is_anew=False)
    assert room.written() == {"b": []}
    for each in room.runs:
        each.publish([Text("one ")])
    assert room.written() == {"b": ["one "]}
    room.mirror.leave("b", "reader")
    run.publish([Text("two ")])
    assert room.written() == {}
    assert room.written(is_everything=True) == {"a": ["one "], "b": ["two "], "c": ["one "]}
    assert room.mirror.want("b", "reader", is_anew=False)
    run.publish([Text("three")])
    assert room.written() == {"b": ["three"]}


def test_a_reader_that_does_not_ask_again_is_dropped(room: MirrorRoom) -> None:
    room.mirror.want("a", "first", is_anew=False)
    room.mirror.want("a", "second", is_anew=False)
    room.clock.now = WANTED_S / 2
    room.mirror.want("a", "second", is_anew=False)
    room.clock.now = WANTED_S
    assert room.written() == {"a": []}
    assert room.mirror.has_readers("a")
    room.clock.now = 2 * WANTED_S
    assert room.written() == {}
    assert not room.mirror.has_readers("a")


def test_a_reader_elsewhere_costs_no_look_at_the_other_runs(room: MirrorRoom) -> None:
    room.mirror.want("b", "reader", is_anew=False)
    room.clock.looks = 0
    assert room.written() == {"b": []}
    assert room.clock.looks == 1


def test_a_run_whose_end_is_written_down_is_wanted_no_more(room: MirrorRoom) -> None:
    room.mirror.want("b", "reader", is_anew=False)
    room.runs[1].end("stop")
    assert room.written() == {"b": []}
    assert room.mirror.of_id("b") is None
    assert not room.mirror.want("b", "reader", is_anew=False)
    assert room.written() == {}
