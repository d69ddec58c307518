"""The bounds of an answer without its reader: how long it goes on, the slots it takes, what is kept of it."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from tests.http.asking import (
    DETACHED,
    ask,
    configured,
    finish,
    follow,
    interrupt,
    leave_behind,
    opening,
    reason,
    refusal,
    rest_of,
    session,
    start,
    streams_of,
)
from tests.support.client import StreamClient, get, post
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, batch, done, hang, text, thinking, tool_calls, wait
from tests.support.sse import text_of
from tests.support.tools import DEADLINE_S, wait_for

DETACH_S = 0.4
BRIEF = configured(stream={"smoothing_ms": 0, "detach_seconds": DETACH_S, "stall_seconds": 60})
FEW = configured(stream={"smoothing_ms": 0, "detach_seconds": 60}, server={"max_streams": 3})
SMALL = configured(
    stream={"smoothing_ms": 0, "detach_seconds": 60, "stall_seconds": 60}, session={"max_context_bytes": 20_000}
)


@BRIEF
def test_an_answer_that_nobody_comes_back_to_ends_as_interrupted(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    leave_behind(gate, "s-over", "one ")
    assert_closed_later = upstream.chats[0].closed.wait(DEADLINE_S)
    assert assert_closed_later
    wait_for(lambda: streams_of(gate) == 0, "nothing is in flight")
    view = session(gate, "s-over")
    assert (view["messages"][-1]["content"], view["messages"][-1]["interrupted"]) == ("one ", True)
    with follow(gate, "s-over") as stream:
        assert reason(rest_of(stream)) == "interrupted"


@BRIEF
def test_a_reader_that_came_back_and_left_again_is_waited_for_anew(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    seen = leave_behind(gate, "s-again", "one ")
    with follow(gate, "s-again", seen[-1].id) as stream:
        assert stream.status == 200
        assert not upstream.chats[0].closed.wait(3 * DETACH_S), "somebody reads it"
    assert upstream.chats[0].closed.wait(DEADLINE_S)


@FEW
def test_a_reader_that_comes_back_takes_the_place_of_the_one_that_left(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("one "), hang())
    for number in range(3):
        leave_behind(gate, f"s-{number}", "one ")
    wait_for(lambda: streams_of(gate) == 3, "each keeps its slot")
    assert refusal(post(gate.base_url, "/api/chat", opening("s-more")))[:2] == (503, "busy")
    with ExitStack() as stack:
        for number in range(3):
            stream = stack.enter_context(follow(gate, f"s-{number}"))
            stream.read_text("one ")
        assert refusal(get(gate.base_url, "/api/sessions/s-0/stream"))[:2] == (503, "busy")
        assert streams_of(gate) == 3
        for number in range(3):
            assert interrupt(gate, f"s-{number}")["interrupted"] is True
    wait_for(lambda: streams_of(gate) == 0, "all slots are free")


@FEW
def test_a_new_question_takes_over_the_slots_of_all_readers(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    go = threading.Event()
    upstream.script(wait(go), text("two"), done())
    with ExitStack() as stack:
        asker = stack.enter_context(gate.stream(opening("s-all")))
        asker.read_text("one ")
        followers = [stack.enter_context(follow(gate, "s-all")) for _ in range(2)]
        for follower in followers:
            follower.read_text("one ")
        assert streams_of(gate) == 3
        with gate.stream({"message": "and?", "session_id": "s-all"}) as stream:
            start(stream)
            for each in (asker, *followers):
                each.read_all()
                assert reason(each.events) == "superseded"
            wait_for(lambda: streams_of(gate) == 1, "one answer, one reader")
            go.set()
            finish(stream)


@SMALL
def test_what_has_fallen_out_of_the_log_is_still_in_the_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    pieces = [f"{'x' * 10_000} {number} " for number in range(5)]
    go = [threading.Event() for _ in (*pieces, "end")]
    upstream.script(
        *[step for each, words in zip(go, pieces, strict=False) for step in (wait(each), text(words))],
        wait(go[-1]),
        text("end"),
        done(),
    )
    with gate.stream(opening("s-long", **DETACHED)) as stream:
        for each, words in zip(go, pieces, strict=False):
            each.set()
            stream.read_text(words)
        with follow(gate, "s-long", stream.events[1].id) as follower:
            reset = follower.read_event()
            assert reset is not None
            assert (reset.data["status"], reset.data["text"]) == ("reset", "".join(pieces))
            go[-1].set()
            assert text_of(rest_of(follower)) == "".join(pieces) + "end"
        finish(stream)
    with follow(gate, "s-long") as follower:
        assert text_of(rest_of(follower)) == "".join(pieces) + "end"
    with follow(gate, "s-long", stream.events[-2].id) as follower:
        assert [event.is_end for event in rest_of(follower)] == [True]


@configured(session={"max_sessions": 2}, server={"max_streams": 1})
def test_an_answer_is_kept_as_long_as_its_session(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Though later answers of other sessions have come and gone."""
    seen = ask(gate, opening("s-used"))
    for number in range(5):
        ask(gate, opening(f"s-{number}"))
        assert session(gate, "s-used")["turns"] == 1
    with follow(gate, "s-used", seen[1].id) as stream:
        assert text_of(rest_of(stream)) == text_of(seen[2:])
    assert len(upstream.chats) == 6


@SMALL
def test_the_reader_that_asked_gets_every_event_however_large(gate: Gateway, upstream: ScriptedOllama) -> None:
    """One piece may be more than the log keeps, and its only reader has not left."""
    call = {"function": {"name": "f", "arguments": {"a": "x" * 30_000}}}
    upstream.script(batch(thinking("y" * 30_000), text("one "), tool_calls([call]), text("two"), done()))
    events = ask(gate, opening("s-piece"))
    assert [event.data for event in events[1:-1] if not event.is_ping] == [
        {"thinking": "y" * 30_000, "message": ""},
        {"message": "one "},
        {"tool_calls": [call], "message": ""},
        {"message": "two"},
    ]


@configured(stream={"smoothing_ms": 0, "detach_seconds": 60, "heartbeat_seconds": 0.1})
def test_a_reader_that_follows_gets_heartbeats(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    leave_behind(gate, "s-beat", "one ")
    with follow(gate, "s-beat") as stream:
        for _ in range(3):
            stream.read_until(lambda event: event.is_ping)
        interrupt(gate, "s-beat")
        rest_of(stream)


@configured(stream={"smoothing_ms": 0, "stall_seconds": 60})
def test_a_reader_whose_network_is_gone_holds_up_no_other(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The one that asked reads nothing: it would hold its thread for two time-outs of 15 s."""
    much = "x" * 100_000
    goes_on = [threading.Event() for _ in range(20)]
    upstream.script(*[step for each in goes_on for step in (text(much), wait(each))], text("end"), done())
    with StreamClient(gate.base_url, opening("s-stuck"), receive_buffer_bytes=4096) as asker:
        start(asker)
        for each in goes_on[:10]:
            each.set()
        with follow(gate, "s-stuck") as follower:
            started_at = time.monotonic()
            start(follower)
            for each in goes_on[10:]:
                each.set()
            rest = rest_of(follower)
        assert text_of(rest) == much * 20 + "end"
        assert reason(rest) == "stop"
        assert time.monotonic() - started_at < 10


def test_the_one_that_asked_reads_on_beside_others(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Its answer is in other hands by then: it gets each event once, an interrupt's end, and may leave."""
    pieces = [f"{number} " for number in range(10)]
    go = [threading.Event() for _ in pieces]
    steps = [step for each, words in zip(go, pieces, strict=True) for step in (wait(each), text(words))]
    upstream.script(*steps, hang())
    with gate.stream(opening("s-beside")) as asker:
        start(asker)
        for number, words in enumerate(pieces):
            with follow(gate, "s-beside") as follower:
                start(follower)
                go[number].set()
                follower.read_text(words)
                asker.read_text(words)
        assert interrupt(gate, "s-beside")["partial"] == "".join(pieces)
        events = finish(asker)
    assert (text_of(events), reason(events)) == ("".join(pieces), "interrupted")
    wait_for(lambda: streams_of(gate) == 0, "nothing is in flight")
