"""What the display is told of an answer: its phases with their seconds, its text, its end."""

from __future__ import annotations

import io

import pytest

from clawgate.client import events
from clawgate.client.events import Ended, Failure, Ping, Reconnecting, Restarted, Resumed, Started, Text, Waiting
from clawgate.terminal.hearing import Hearing
from clawgate.terminal.plain import PlainDisplay
from tests.support.screen import Screen

STARTED = Started("s", "r", "m")


class Room:
    """A hearing with a clock that a test sets, on a terminal that can erase a line."""

    def __init__(self) -> None:
        self.now = 0.0
        self._out = io.StringIO()
        self._display = PlainDisplay(self._out, self._out, is_capable=True)
        self.hearing = Hearing(self._display, lambda: self.now)

    def hear(self, *heard: events.Event, after_s: float = 0.0) -> list[str]:
        """Hear events, let time pass, and return what the terminal shows."""
        for event in heard:
            self.hearing.hear(event)
        self.now += after_s
        self.hearing.show_phase()
        return self.shown

    @property
    def shown(self) -> list[str]:
        """What the terminal shows."""
        screen = Screen()
        screen.feed(self._out.getvalue().replace("\n", "\r\n").encode())
        return screen.shown


@pytest.fixture
def room() -> Room:
    """An answer that has been asked for."""
    return Room()


def test_a_wait_is_named_once_it_is_one(room: Room) -> None:
    assert room.hear(after_s=0.3) == []
    assert room.hear(after_s=1.0) == ["Sending… 1 s"]
    assert room.hear(STARTED, after_s=0.3) == []
    assert room.hear(Ping(), after_s=4.0) == ["Waiting for the first word; the model may be loading… 4 s"]
    assert room.hear(Waiting("upstream_unreachable", 2)) == ["Ollama is away; trying again (attempt 2)… 0 s"]
    assert room.hear(Waiting("evaluating", 1), after_s=2) == [
        "The model reads an interrupted message to its end first… 2 s"
    ]
    assert room.hear(Resumed()) == []
    assert room.hear(Reconnecting(1), Reconnecting(2), after_s=3) == ["The connection was cut; connecting again… 3 s"]
    assert room.hear(Ping(), after_s=1) == ["Waiting for the first word; the model may be loading… 1 s"]
    assert room.hear(Text("Yes.")) == ["Yes."]
    assert room.hear(Ping(), after_s=9) == ["Yes."]


def test_thinking_leaves_its_seconds(room: Room) -> None:
    assert room.hear(STARTED, events.Thinking("hm"), after_s=2.5) == ["Thinking… 2 s"]
    assert room.hear(Restarted(), events.Thinking("ah"), after_s=0.6) == ["Thinking… 3 s"]
    assert room.hear(Text("Yes.")) == ["Thought for 4 s", "Yes."]
    room.hear(events.ToolCalls(({"function": {"name": "f\x1b[2J"}},)))
    assert room.shown[-1].startswith("It calls a tool: {'name': 'f")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Ended("stop"), []),
        (Ended("stop", is_empty=True), ["The model ended without a text."]),
        (Ended("length"), ["cut off: the length limit was reached. /continue goes on"]),
        (Ended("truncated"), ["cut off: Ollama's stream ended too early. /continue goes on"]),
        (Ended("superseded"), ["interrupted by a newer question of this conversation"]),
        (Ended("interrupted"), ["interrupted"]),
        (Ended("error", Failure("c", "m")), []),
    ],
)
def test_each_end_has_its_words(room: Room, end: Ended, words: list[str]) -> None:
    room.hear(STARTED, Text("par"), end)
    room.hearing.show_end()
    assert room.shown == ["par", *words]


def test_an_interrupt_is_a_phase_to_the_end(room: Room) -> None:
    room.hear(STARTED)
    room.hearing.interrupt()
    assert room.hear(Waiting("upstream_unreachable", 2), after_s=1) == ["Interrupting… 1 s"]
    room.hearing.show_end()
    assert room.shown == ["interrupted"]


def test_all_so_far_goes_on_from_what_is_shown(room: Room) -> None:
    assert room.hear(STARTED, Text("one "), events.Reset("one two ")) == ["one two"]
    assert room.hear(events.Reset("one two ")) == ["one two"]
    assert room.hear(events.Reset("other")) == ["one two", "The answer so far, anew:", "other"]
    assert room.hearing.text == "other"
    room.hear(Started("s", "r", dropped_turns=2))
    assert room.shown[-1] == "The conversation is long: its oldest 2 turns are forgotten."
