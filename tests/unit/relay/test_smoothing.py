"""Smoothing makes few events of many frames, and loses, repeats or reorders nothing; a late gateway gathers longer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.ollama.ndjson import Frame, FrameMessage
from clawgate.relay.events import Event, Text, Thinking, ToolCalls
from clawgate.relay.smoothing import Load, Window, apart, merge

F = {"function": {"name": "f", "arguments": {}}}
G = {"function": {"name": "g", "arguments": {"x": 1}}}


def frame(content: str | None = None, thinking: str | None = None, calls: list[dict[str, Any]] | None = None) -> Frame:
    """One frame of Ollama's."""
    return Frame(message=FrameMessage(content, thinking, calls))


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        ([], []),
        ([Frame(), Frame(done=True), frame(), frame(""), frame("", "", [])], []),
        ([frame("春"), frame(""), frame("光"), Frame()], [Text("春光")]),
        ([frame(" "), frame("\n")], [Text(" \n")]),
        ([frame("", "a"), frame(None, "b"), frame("c"), frame("d", "")], [Thinking("ab"), Text("cd")]),
        ([frame("a"), frame("", "b"), frame("c")], [Text("a"), Thinking("b"), Text("c")]),
        ([frame("text", "thought")], [Thinking("thought"), Text("text")]),
        ([frame("a", "b"), frame("c", "d")], [Thinking("b"), Text("a"), Thinking("d"), Text("c")]),
        ([frame("a"), frame("", None, [F]), frame("b")], [Text("a"), ToolCalls((F,)), Text("b")]),
        ([frame("a", "b", [F, G]), frame("c")], [Thinking("b"), Text("a"), ToolCalls((F, G)), Text("c")]),
        ([frame("", None, [F]), frame("", None, [G])], [ToolCalls((F,)), ToolCalls((G,))]),
        ([frame("", "a", [F]), frame("", "b")], [Thinking("a"), ToolCalls((F,)), Thinking("b")]),
    ],
)
def test_neighbours_of_a_kind_become_one_event(frames: list[Frame], events: list[Event]) -> None:
    assert merge(frames)[0] == events


def test_without_smoothing_each_frame_is_an_event_of_its_own() -> None:
    frames = [
        frame("春"),
        frame(""),
        frame("光"),
        frame("", "a"),
        frame("", "b"),
        frame("", None, [F]),
        frame("c", "d"),
    ]
    events = [Text("春"), Text("光"), Thinking("a"), Thinking("b"), ToolCalls((F,)), Thinking("d"), Text("c")]
    end = Frame(done=True)
    assert apart([*frames, end, frame("late")]) == (events, end)
    assert apart(frames) == (events, None)


pieces = st.sampled_from(["", "a", "春", " ", "\n", "🙂"])


@given(st.lists(st.builds(frame, pieces, pieces, st.sampled_from([None, [], [F], [F, G]])), max_size=12))
@settings(max_examples=50, deadline=None)
def test_nothing_is_lost_or_reordered_and_neighbours_differ(frames: list[Frame]) -> None:
    said: list[tuple[type[Event], Any]] = []
    for message in (each.message for each in frames):
        assert message is not None
        said += [(Thinking, letter) for letter in message.thinking or ""]
        said += [(Text, letter) for letter in message.content or ""]
        said += [(ToolCalls, tuple(message.tool_calls))] if message.tool_calls else []
    events, end = merge(frames)
    assert end is None
    told: list[tuple[type[Event], Any]] = []
    for event in events:
        if isinstance(event, ToolCalls):
            told.append((ToolCalls, event.calls))
        else:
            assert isinstance(event, Text | Thinking)
            assert event.text
            told += [(type(event), letter) for letter in event.text]
    assert told == said
    assert all(type(one) is not type(other) or isinstance(one, ToolCalls) for one, other in pairwise(events))


@pytest.mark.parametrize("last", [Frame(done=True), Frame(error="out of memory"), Frame(FrameMessage("b"), done=True)])
def test_what_follows_the_end_is_nothing(last: Frame) -> None:
    events, end = merge([frame("a", ""), last, frame("c", "")])
    assert end is last
    assert events == [Text("ab" if last.message else "a")]


def test_an_error_without_words_is_no_end() -> None:
    assert merge([Frame(FrameMessage("a"), error=""), frame("b", "")]) == ([Text("ab")], None)


def busy() -> Load:
    """A load that is too much, at the moment 0."""
    load = Load()
    for _ in range(20):
        load.note_lateness(1, 0)
    assert load.is_too_much
    return load


@pytest.mark.parametrize("set_s", [0.001, 0.01, 0.04, 0.1, 1, 10])
def test_a_window_stays_as_it_was_set_while_flushes_are_in_time(set_s: float) -> None:
    window = Window(set_s, busy())
    for _ in range(10):
        window.note_lateness(0.002, 0)
        assert window.length_s == set_s


@pytest.mark.parametrize(("set_s", "late_s"), [(0.01, 0.005), (0.1, 0.005), (1, 0.05)])
def test_a_window_widens_with_lateness_up_to_four_times(set_s: float, late_s: float) -> None:
    window = Window(set_s, busy())
    window.note_lateness(late_s, 0)
    assert window.length_s == pytest.approx(2 * set_s)
    window.note_lateness(5, 0)
    assert window.length_s == 4 * set_s


@pytest.mark.parametrize("late_s", [0.01, 1, 3600])
def test_a_window_is_as_it_was_set_again_after_ten_flushes_in_time(late_s: float) -> None:
    window = Window(0.1, busy())
    window.note_lateness(late_s, 0)
    lengths = []
    for _ in range(10):
        window.note_lateness(0.001, 0)
        lengths.append(window.length_s)
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == pytest.approx(0.34)
    assert lengths[-1] == 0.1


def test_no_window_does_not_widen() -> None:
    window = Window(0, busy())
    window.note_lateness(1, 0)
    assert window.length_s == 0


def test_a_late_flush_among_many_in_time_widens_nothing() -> None:
    load = Load()
    windows = [Window(0.1, load) for _ in range(100)]
    for moment in range(10):
        for number, window in enumerate(windows):
            window.note_lateness(0.05 if number == moment else 0.0005, moment / 10)
            assert window.length_s == 0.1


def test_one_answer_is_never_too_much_however_late_its_flushes_are() -> None:
    load = Load()
    window = Window(0.1, load)
    for moment in range(100):
        window.note_lateness(1, moment / 10)
        assert window.length_s == 0.1


def test_too_much_load_is_over_within_a_second() -> None:
    load = busy()
    load.note_lateness(0, 1)
    assert not load.is_too_much
