"""The limits of silence, before an answer and in the middle of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.http.asking import ask, assert_closed, configured, finish, opening, reason, session
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, chunk, done, drop, every, hang, headers, text, thinking, wait
from tests.support.sse import end_of, text_of

STALL_S = 0.4
BEAT_S = 0.2
FIRST_S = 0.9
STALLING = configured(stream={"smoothing_ms": 0, "stall_seconds": STALL_S, "heartbeat_seconds": BEAT_S})
ENDING = configured(stream={"smoothing_ms": 0, "max_answer_seconds": 0.3})
LOADING = configured(stream={"first_frame_seconds": FIRST_S, "stall_seconds": 0.3, "heartbeat_seconds": BEAT_S})
TOOL = {"type": "function", "function": {"name": "weather"}}


@STALLING
@pytest.mark.parametrize("before", [text("half "), thinking("Hm"), text("")], ids=["text", "thinking", "empty"])
def test_a_stall_ends_the_stream_and_closes_upstream(gate: Gateway, upstream: ScriptedOllama, before: Step) -> None:
    upstream.script(before, hang())
    events = ask(gate, opening("s-stall"))
    assert reason(events) == "upstream_stalled"
    assert end_of(events)["message"] == ""
    assert_closed(upstream.chats[0])
    answer = session(gate, "s-stall")["messages"][-1]
    assert (answer["content"], answer["interrupted"]) == (text_of(events), True)
    assert len(upstream.chats) == 1


@ENDING
def test_an_answer_that_never_ends_is_ended_and_can_be_continued(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(every(0.02, 10_000, lambda _: text("a ")), done())
    events = ask(gate, opening("s-ever"))
    assert reason(events) == "length"
    assert_closed(upstream.chats[0])
    answer = session(gate, "s-ever")["messages"][-1]
    assert (answer["content"], answer["interrupted"]) == (text_of(events), True)
    upstream.script(text("end."), done())
    assert reason(ask(gate, {"continue": True, "session_id": "s-ever"})) == "stop"
    assert session(gate, "s-ever")["messages"][-1]["content"] == text_of(events) + "end."


@STALLING
def test_a_frame_that_never_becomes_whole_is_a_stall(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), every(0.05, 200, lambda _: chunk(b" ")), hang())
    assert reason(ask(gate, "hi")) == "upstream_stalled"
    assert_closed(upstream.chats[0])


@STALLING
def test_empty_frames_are_no_silence(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A model that thinks unseen sends empty frames."""
    upstream.script(text("a"), every(STALL_S / 10, 30, lambda _: text("")), text("b"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("ab", "stop")


@STALLING
def test_silence_before_the_first_frame_is_no_stall(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(headers(), wait(go), text("a"), done())
    with gate.stream("hi") as stream:
        for _ in range(5):  # more than twice the stall limit
            stream.read_until(lambda event: event.is_ping)
        go.set()
        assert reason(finish(stream)) == "stop"


@STALLING
@pytest.mark.parametrize("fields", [{"tools": [TOOL]}, {"format": "json"}, {"format": {"type": "object"}}], ids=str)
def test_with_tools_or_format_silence_is_borne_longer(
    gate: Gateway, upstream: ScriptedOllama, fields: dict[str, Any]
) -> None:
    go = threading.Event()
    upstream.script(text("{"), wait(go), text("}"), done())
    with gate.stream({"message": "hi", **fields}) as stream:
        stream.read_text("{")
        for _ in range(5):
            stream.read_until(lambda event: event.is_ping)
        go.set()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("{}", "stop")


@STALLING
@pytest.mark.parametrize("fields", [{"tools": []}, {"format": ""}], ids=str)
def test_empty_tools_and_format_bear_nothing(gate: Gateway, upstream: ScriptedOllama, fields: dict[str, Any]) -> None:
    upstream.script(text("a"), hang())
    assert reason(ask(gate, {"message": "hi", **fields})) == "upstream_stalled"


@LOADING
@pytest.mark.parametrize("before", [(), (headers(),)], ids=["no headers", "headers"])
def test_no_first_frame_is_a_timeout(gate: Gateway, upstream: ScriptedOllama, before: tuple[Step, ...]) -> None:
    upstream.script(*before, hang())
    events = ask(gate, opening("s-load"))
    assert reason(events) == "upstream_timeout"
    assert FIRST_S <= events[-1].at - events[0].at < FIRST_S + 10
    assert_closed(upstream.chats[0])
    assert session(gate, "s-load")["streaming"] is False


@LOADING
def test_no_first_frame_is_504_where_the_answer_is_not_streamed(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang())
    reply = gate.post("/api/chat", {"message": "hi", "stream": False})
    assert (reply.status, reply.json["error"]["code"]) == (504, "upstream_timeout")
    assert reply.headers["x-should-retry"] == "false"
    assert_closed(upstream.chats[0])


@LOADING
def test_an_error_body_that_never_ends_is_a_timeout(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(500, content_length=100), hang())
    assert reason(ask(gate, "hi")) == "upstream_timeout"
    assert_closed(upstream.chats[0])


@LOADING
def test_each_request_has_the_whole_patience_for_its_first_frame(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Each of two attempts takes two thirds of the limit, and the first is dropped."""
    beats = int(FIRST_S * 2 / 3 / BEAT_S)
    goes = threading.Event(), threading.Event()
    upstream.script(wait(goes[0]), text("a "), drop())
    upstream.script(wait(goes[1]), text("b"), done())
    with gate.stream("hi") as stream:
        for go in goes:
            upstream.next_request()
            for _ in range(beats):
                stream.read_until(lambda event: event.is_ping)
            go.set()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("a b", "stop")
