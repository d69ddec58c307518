"""The log of a run: its numbers, its bound, and the reset of a reader whose place has gone."""

from __future__ import annotations

import tracemalloc

import pytest
from msgspec import Raw

from clawgate.relay.events import Ended, Event, Reset, Restarted, Started, Text, Thinking, ToolCalls
from clawgate.relay.log import Log

STARTED = Started("s", "r", "m")
CALL = {"function": {"name": "f", "arguments": {}}}
EVENTS: list[Event] = [Thinking("hm"), Text("a"), ToolCalls((CALL,)), Text("b"), Ended("s", "r", "stop")]


def log_of(events: list[Event], max_bytes: float = 1 << 20) -> Log:
    log = Log(STARTED, max_bytes)
    for event in events:
        add(log, event)
    return log


def add(log: Log, event: Event) -> None:
    log.append(event)
    log.make_room()


def test_each_event_is_read_behind_the_number_of_the_one_before() -> None:
    log = log_of(EVENTS)
    everything = [STARTED, *EVENTS]
    assert [list(log.after(number)) for number in range(7)] == [everything[number:] for number in range(7)]
    assert (log.last, log.is_ended, log.text, log.thinking, log.calls) == (6, True, "ab", "hm", (CALL,))


@pytest.mark.parametrize("number", [-1, 7, 10**15])
def test_a_number_that_was_never_given_gets_everything_as_one(number: int) -> None:
    assert log_of(EVENTS).after(number) == [Reset(STARTED, 5, "ab", "hm", (CALL,)), EVENTS[-1]]
    assert log_of(EVENTS[:-1]).after(number) == [Reset(STARTED, 5, "ab", "hm", (CALL,))]


def test_thinking_that_is_void_is_in_no_reset() -> None:
    log = log_of([Thinking("wrong")])
    log.append(Restarted())
    log.append(Thinking("right"))
    assert log.after(-1) == [Reset(STARTED, 4, "", "right")]
    assert log.after(2) == [Restarted(), Thinking("right")]


def test_the_oldest_fall_out_and_the_text_stays() -> None:
    pieces = [f"piece {number} " for number in range(1000)]
    log = log_of([Text(piece) for piece in pieces], max_bytes=10_000)
    assert log.event_bytes <= 10_000
    assert log.last == 1001
    assert log.after(1000) == [Text(pieces[-1])]
    [reset] = log.after(1)
    assert reset == Reset(STARTED, 1001, "".join(pieces))
    first_kept = next(number for number in range(1002) if not isinstance((*log.after(number), None)[0], Reset))
    assert first_kept > 800
    assert list(log.after(first_kept)) == [Text(piece) for piece in pieces[first_kept - 1 :]]


def test_an_event_that_is_larger_than_the_bound_is_kept_until_the_next() -> None:
    log = log_of([Text("x" * 10_000)], max_bytes=1000)
    assert log.after(1) == [Text("x" * 10_000)]
    add(log, Text("y"))
    assert log.after(2) == [Text("y")]
    assert log.after(1) == [Reset(STARTED, 3, "x" * 10_000 + "y")]


@pytest.mark.parametrize("piece", ["tok ", "春光", "🙂", "x" * 400])
@pytest.mark.parametrize("kind", [Text, Thinking])
def test_what_a_log_counts_is_what_it_takes(kind: type[Text | Thinking], piece: str) -> None:
    tracemalloc.start()
    try:
        log = log_of([kind(piece + str(number)) for number in range(5000)])
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.7 * taken < log.memory_bytes() < 1.5 * taken


def test_tool_calls_count_when_their_events_have_fallen_out() -> None:
    calls = [{"function": {"name": "f", "arguments": {"text": "x" * 1000}}} for _ in range(50)]
    assert log_of([ToolCalls((call,)) for call in calls], max_bytes=5000).memory_bytes() > 50_000


def test_events_that_are_moved_cost_no_more_the_longer_the_answer() -> None:
    """Each overflow moves what is kept: bounded by the events that have come, not by their square."""

    class Counting(Log):
        moved = 0

        def _shorten(self) -> None:
            super()._shorten()
            Counting.moved += len(self._events)

    log = Counting(STARTED, 100_000)
    for _ in range(20_000):
        add(log, Text("a"))
    assert Counting.moved < 5 * 20_000


def test_a_log_counts_the_tokens_that_its_end_carries() -> None:
    log = log_of([])
    log.append(Ended("sess_1", "run_1", "stop", context=Raw(b"[%b1]" % (b"1," * 50_000))))
    assert log.memory_bytes() > 100_000
