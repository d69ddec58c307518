"""POST /api/chat: an undisturbed answer as a stream of events."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.http.asking import ask, configured, contents, finish, opening, reason, said, session, start
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    DEFAULT_STATS,
    ScriptedOllama,
    batch,
    done,
    every,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.pictures import TINY_GIF
from tests.support.sse import end_of, text_of
from tests.support.tools import DEADLINE_S

WINDOW_S = 0.3
pytestmark = configured(stream={"smoothing_ms": int(WINDOW_S * 1000)})
CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}


def test_start_event_comes_while_the_model_is_silent(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), text("春"), done())
    with gate.stream(opening("s-start")) as stream:
        first = start(stream)
        assert not upstream.next_request().body_sent
        go.set()
        events = finish(stream)
    assert first == {"session_id": "s-start", "run_id": first["run_id"], "model": DEFAULT_MODEL, "message": ""}
    assert first["run_id"].startswith("run_")
    assert len(first["run_id"]) >= len("run_") + 22, "at least 128 random bits"
    assert text_of(events) == "春"


def test_start_event_comes_where_ollama_is_away(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    with gate.stream("hi") as stream:
        assert start(stream)["session_id"].startswith("sess_")


def test_headers_are_those_of_the_contract(gate: Gateway, upstream: ScriptedOllama) -> None:
    with gate.stream("hi") as stream:
        session_id = start(stream)["session_id"]
        finish(stream)
        assert stream.status == 200
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["Cache-Control"] == "no-cache, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert stream.headers["X-Session-Id"] == session_id
        assert stream.headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in stream.headers
    assert len(upstream.chats) == 1


def test_each_event_is_one_chunk_and_the_end_is_the_last(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), texts("a", "b"), tool_calls([CALL]), done())
    with gate.stream("hi") as stream:
        events = finish(stream)
        assert stream.chunks == [event.raw for event in events]
        assert stream.received.endswith(events[-1].raw)
    ids = [str(event.id).rpartition(":") for event in events]
    assert {run for run, _, _ in ids} == {events[0].data["run_id"]}
    assert [int(number) for _, _, number in ids] == list(range(1, len(events) + 1))


def test_end_event_carries_what_ollama_counted(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done(eval_count=7))
    events = ask(gate, opening("s-stats"))
    assert end_of(events) == {
        "done": True,
        "done_reason": "stop",
        "session_id": "s-stats",
        "run_id": events[0].data["run_id"],
        "stats": {**DEFAULT_STATS, "eval_count": 7},
        "message": "",
    }


def test_done_reason_length_is_sent_and_can_be_continued(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done("length"))
    assert reason(ask(gate, opening("s-length"))) == "length"
    assert session(gate, "s-length")["messages"][-1]["content"] == "a"


def test_text_in_the_done_frame_is_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    last = dict(done().bodies[0])
    last["message"] = {"role": "assistant", "content": "!"}
    upstream.script(text("a"), type(done())((last,), ends=True))
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a!", "stop")


def test_frames_within_a_window_become_one_event(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(every(0.005, 200, lambda index: text(f"{index} ")), done())
    events = ask(gate, "hi")
    pieces = [event for event in events if event.is_text]
    took_s = events[-1].at - pieces[0].at
    assert text_of(events) == "".join(f"{index} " for index in range(200))
    assert 2 <= len(pieces) <= took_s / WINDOW_S + 2, f"{len(pieces)} events in {took_s:.2f} s"


def test_empty_frames_make_no_event_and_equal_ones_are_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(texts("", "la", ""), wait(go), texts("la", "", "la", ""), done())
    with gate.stream("hi") as stream:
        stream.read_text("la")
        go.set()
        events = finish(stream)
    assert text_of(events) == "lalala"
    assert all(data["message"] for data in said(events))


@pytest.mark.parametrize("is_together", [True, False])
def test_thinking_comes_before_text_and_apart(gate: Gateway, upstream: ScriptedOllama, is_together: bool) -> None:
    parts = (thinking("Hm", ", "), thinking("so"), texts("Yes", "."))
    upstream.script(*([batch(*parts)] if is_together else parts), done())
    events = ask(gate, opening("s-think"))
    assert "".join(data.get("thinking", "") for data in said(events)) == "Hm, so"
    kinds = ["thinking" if "thinking" in data else "text" for data in said(events)]
    assert kinds == sorted(kinds, reverse=True), kinds
    assert all(data["message"] == "" for data in said(events) if "thinking" in data)
    assert session(gate, "s-think")["messages"][-1] == {"role": "assistant", "content": "Yes.", "thinking": "Hm, so"}


def test_tool_calls_are_an_event_in_their_place(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(batch(text("a"), tool_calls([CALL]), text("b")), tool_calls([CALL, CALL]), done())
    events = ask(gate, opening("s-tools"))
    assert said(events) == [
        {"message": "a"},
        {"tool_calls": [CALL], "message": ""},
        {"message": "b"},
        {"tool_calls": [CALL, CALL], "message": ""},
    ]
    answer = session(gate, "s-tools")["messages"][-1]
    assert (answer["content"], answer["tool_calls"]) == ("ab", [CALL] * 3)


def test_an_answer_without_text_ends_properly(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(done())
    events = ask(gate, opening("s-nothing"))
    assert (len(events), reason(events)) == (2, "stop")
    assert contents(session(gate, "s-nothing")["messages"]) == [("user", "hi"), ("assistant", "")]


def test_request_reaches_ollama_as_it_is(gate: Gateway, upstream: ScriptedOllama) -> None:
    passed_on: dict[str, Any] = {
        "think": "low",
        "options": {"temperature": 0.5, "stop": ["\n"], "seed": 7},
        "format": {"type": "object", "properties": {"名": {"type": "string"}}},
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "keep_alive": "5m",
    }
    messages = [
        {"role": "system", "content": "Be brief. "},
        {"role": "user", "content": "看\u2028图", "images": [TINY_GIF]},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "晴", "tool_name": "weather"},
    ]
    ask(gate, {"messages": messages, **passed_on})
    sent = upstream.next_request().json
    assert sent == {"model": DEFAULT_MODEL, "messages": messages, "stream": True, **passed_on}


def test_request_names_ollamas_own_host_and_no_origin(gate: Gateway, upstream: ScriptedOllama) -> None:
    with gate.stream("hi", headers={"Origin": "http://evil.example", "X-Forwarded-For": "1.2.3.4"}) as stream:
        assert reason(finish(stream)) == "stop"
    headers = upstream.next_request().headers
    assert headers["Host"] == f"127.0.0.1:{upstream.port}"
    assert not {"origin", "x-forwarded-for", "cookie"} & {name.lower() for name in headers}


def test_extras_hold_for_one_request_alone(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-once", options={"seed": 1}, think=True))
    ask(gate, {"message": "two", "session_id": "s-once"})
    assert set(upstream.chats[1].json) == {"model", "messages", "stream"}


def test_unknown_fields_are_named_in_the_start_event(gate: Gateway, upstream: ScriptedOllama) -> None:
    body = {"message": {"role": "user", "content": "hi", "nmae": "x"}, "sesion_id": "s", "temperature": 1}
    with gate.stream(body) as stream:
        assert set(start(stream)["ignored"]) == {"sesion_id", "temperature", "message.nmae"}
        assert reason(finish(stream)) == "stop"
    assert upstream.chats[0].json.keys() == {"model", "messages", "stream"}
    assert upstream.chats[0].messages == [{"role": "user", "content": "hi"}]


def test_a_pipelined_request_is_answered_after_the_stream(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Bytes behind the request are no hang-up: the second answer follows on the connection."""
    go = threading.Event()
    upstream.script(text("one"), wait(go), done())
    with gate.stream(opening("s-pipe")) as stream:
        stream.read_text("one")
        stream.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        go.set()
        stream.sock.settimeout(DEADLINE_S)
        data = b""
        while b"HTTP/1.1 200" not in data or b'"ok"' not in data:
            piece = stream.sock.recv(65536)
            assert piece, data
            data += piece
    assert b'"done_reason":"stop"' in data.partition(b"HTTP/1.1 200")[0]
