"""What a wire format that takes nothing back is told of a run: every piece once, and all of them as a whole answer."""

from __future__ import annotations

import pytest

from clawgate.errors import UpstreamStalled
from clawgate.relay.events import (
    PING,
    Ended,
    Event,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    ToolCalls,
    Waiting,
)
from clawgate.web.door.gathering import gather, without_resets

CALL = {"function": {"name": "f", "arguments": {}}}
STARTED = Started("s", "run_1", "m")
END = Ended("s", "run_1", "stop")


def test_pieces_of_one_kind_are_joined_and_kinds_keep_their_order() -> None:
    told: list[Event] = [
        STARTED,
        Thinking("h"),
        PING,
        Thinking("m"),
        Text("a"),
        Waiting("upstream_unreachable", 2),
        Resumed(),
        Text("b"),
        ToolCalls((CALL,)),
        ToolCalls((CALL, CALL)),
        Text("c"),
        END,
    ]
    parts = (Thinking("hm"), Text("ab"), ToolCalls((CALL,)), ToolCalls((CALL, CALL)), Text("c"))
    assert gather(told) == (STARTED, parts, END)


def test_void_thinking_is_no_part_of_a_whole_answer() -> None:
    answer = gather([STARTED, Thinking("void"), Restarted(), Thinking("hm"), Text("a"), END])
    assert answer.parts == (Thinking("hm"), Text("a"))


def test_an_answer_that_failed_raises_its_error_anew() -> None:
    error = UpstreamStalled("silence")
    with pytest.raises(UpstreamStalled, match="silence") as caught:
        gather([STARTED, Text("a"), Ended("s", "run_1", "error", error=error)])
    assert caught.value is not error


def test_a_reset_becomes_what_the_reader_lacks() -> None:
    reset = Reset(STARTED, 7, "春光", "hm", (CALL, CALL))
    whole = [STARTED, Thinking("hm"), Text("春光"), ToolCalls((CALL, CALL))]
    assert list(without_resets([reset, END])) == [*whole, END]
    begun: list[Event] = [STARTED, Thinking("hm"), Text("春"), ToolCalls((CALL,))]
    assert list(without_resets([*begun, reset, END])) == [*begun, Text("光"), ToolCalls((CALL,)), END]
    assert list(without_resets([*whole, reset, END])) == [*whole, END]


def test_a_reset_after_void_thinking_has_the_thinking_that_counts() -> None:
    told: list[Event] = [STARTED, Thinking("void and long"), Restarted(), Reset(STARTED, 9, "a", "hm"), END]
    assert list(without_resets(told)) == [*told[:3], Thinking("hm"), Text("a"), END]
