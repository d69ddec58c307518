"""OpenAI's chat completions on a real gateway: answers, errors and ends, sessions, interrupts, clients that leave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured, contents, interrupt, session
from tests.http.openai_chunks import (
    HI,
    PATH,
    body_of,
    chunks_in,
    end_of,
    open_stream,
    read_chunks,
    read_text,
    refusal,
    text_of,
    whole,
)
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import (
    ScriptedOllama,
    Step,
    done,
    drop,
    end,
    error_line,
    hang,
    headers,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.tools import wait_for

BEAT_S = 1.0
pytestmark = configured(
    model={"allowed_models": ["absent:1b"]},
    stream={"smoothing_ms": 0, "heartbeat_seconds": BEAT_S, "stall_seconds": 30},
)
WEATHER = {"function": {"name": "weather", "arguments": {"city": "北京"}}}


def test_a_whole_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), texts("春", "光"), done())
    reply = gate.post(PATH, body_of({"role": "developer", "content": "Be brief."}, HI, temperature=0.5, max_tokens=9))
    assert reply.status == 200
    run_id = reply.headers["X-Run-Id"]
    assert reply.json["id"] == run_id.replace("run_", "chatcmpl-")
    assert reply.json["model"] == "qwen3:32b"
    assert reply.json["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "春光", "reasoning": "hm"},
            "finish_reason": "stop",
        }
    ]
    assert reply.json["usage"] == {"prompt_tokens": 26, "completion_tokens": 290, "total_tokens": 316}
    assert "X-Session-Id" not in reply.headers, "nothing is kept"
    assert upstream.next_request().json == {
        "model": "qwen3:32b",
        "messages": [{"role": "system", "content": "Be brief."}, HI],
        "stream": True,
        "options": {"temperature": 0.5, "num_predict": 9},
    }


def test_a_stream_passes_each_piece_on_at_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("春\u2028"), wait(go), text("光"), done())
    with open_stream(gate, stream_options={"include_usage": True}) as stream:
        read_text(stream, "春")
        go.set()
        found = read_chunks(stream)
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["Cache-Control"] == "no-cache, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert found[0]["id"] == stream.headers["X-Run-Id"].replace("run_", "chatcmpl-")
        assert "\u2028" not in stream.received.decode()
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert (text_of(found), end_of(found)) == ("春\u2028光", ("stop", None))
    assert found[-1]["usage"]["total_tokens"] == 316


def test_thinking_and_tools(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), tool_calls([WEATHER, WEATHER]), done())
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    with open_stream(gate, tools=tools, reasoning_effort="low") as stream:
        found = read_chunks(stream)
    assert (text_of(found, "reasoning"), end_of(found)) == ("hm", ("tool_calls", None))
    calls = [call for chunk in found for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["function"] for call in calls] == 2 * [{"name": "weather", "arguments": '{"city":"北京"}'}]
    assert len({call["id"] for call in calls}) == 2
    asked = upstream.next_request().json
    assert (asked["tools"], asked["think"]) == (tools, "low")


FAILURES: list[tuple[tuple[Step, ...], tuple[int, str, str | None, str], bool]] = [
    ((status(404, {"error": "model 'x' not found"}),), (404, "not_found_error", "model", "model_not_found"), True),
    (
        (status(400, {"error": "does not support tools"}),),
        (400, "invalid_request_error", None, "upstream_refused"),
        True,
    ),
    ((status(429, {"error": "weekly limit"}),), (429, "rate_limit_error", None, "upstream_error"), True),
    ((status(500, {"error": "boom"}),), (502, "server_error", None, "upstream_error"), True),
    ((error_line("boom"),), (502, "server_error", None, "upstream_error"), True),
    ((thinking(""), error_line("boom")), (502, "server_error", None, "upstream_error"), True),
]


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize(("steps", "wanted", "is_final"), FAILURES, ids=["404", "400", "429", "500", "line", "empty"])
def test_an_error_before_the_first_word_has_its_own_status(
    gate: Gateway,
    upstream: ScriptedOllama,
    steps: tuple[Step, ...],
    wanted: tuple[int, str, str | None, str],
    is_final: bool,
    is_streamed: bool,
) -> None:
    upstream.script(*steps)
    reply = gate.post(PATH, body_of(stream=is_streamed))
    assert refusal(reply) == wanted
    assert (reply.headers["x-should-retry"] == "false") == is_final
    assert reply.headers["X-Run-Id"].startswith("run_")
    assert len(upstream.chats) == 1


def test_a_model_that_ollama_lacks_is_a_404(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    reply = gate.post(PATH, body_of(model="absent:1b", stream=True))
    assert refusal(reply) == (404, "not_found_error", "model", "model_not_found")


@pytest.mark.parametrize("first", [text("half "), thinking("hm")], ids=["text", "thinking"])
def test_an_error_after_it_is_the_last_event_before_done(gate: Gateway, upstream: ScriptedOllama, first: Step) -> None:
    upstream.script(first, error_line("boom"))
    with open_stream(gate) as stream:
        assert stream.status == 200
        found = read_chunks(stream)
    assert found[-1]["error"] == {"message": "boom", "type": "server_error", "param": None, "code": "upstream_error"}
    upstream.script(first, error_line("boom"))
    assert refusal(gate.post(PATH, body_of())) == (502, "server_error", None, "upstream_error")


def test_an_answer_that_breaks_off_without_its_last_frame_says_so(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half"), end())
    with open_stream(gate) as stream:
        assert end_of(read_chunks(stream)) == ("length", "truncated")


def test_an_answer_that_is_cut_is_gone_on_with_unseen(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), drop())
    upstream.script(text("two"), done())
    with open_stream(gate) as stream:
        found = read_chunks(stream)
    assert (text_of(found), end_of(found)) == ("one two", ("stop", None))
    assert upstream.chats[1].json["messages"][-1] == {"role": "assistant", "content": "one "}


def test_the_head_comes_with_the_first_heartbeat(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), text("a"), done())
    with open_stream(gate) as stream:
        upstream.next_request()
        with pytest.raises(TimeoutError):
            stream.read_headers(BEAT_S / 4)
        while stream.received.count(b": keepalive\n\n") < 2:
            assert stream.read_line()
        assert stream.chunks[1:3] == [b": keepalive\n\n"] * 2
        go.set()
        assert text_of(read_chunks(stream)) == "a"


def test_an_error_behind_a_heartbeat_comes_in_the_stream(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), status(500, {"error": "boom"}))
    with open_stream(gate) as stream:
        while b": keepalive" not in stream.received:
            assert stream.read_line()
        go.set()
        found = read_chunks(stream)
    assert stream.status == 200
    assert found[-1]["error"]["code"] == "upstream_error"


BY = {"header": ({"X-Session-Id": "s-1"}, {}), "body": ({}, {"session_id": "s-1"})}


@pytest.mark.parametrize("by", BY)
def test_a_session_that_is_named_is_kept(gate: Gateway, upstream: ScriptedOllama, by: str) -> None:
    named, fields = BY[by]
    upstream.script(text("春"), done())
    reply = gate.post(PATH, body_of(**fields), named)
    assert reply.headers["X-Session-Id"] == "s-1"
    assert contents(session(gate, "s-1")["messages"]) == [("user", "hi"), ("assistant", "春")]
    assert gate.delete("/api/sessions/s-1").status == 204


def test_the_two_ways_to_name_a_session_must_agree(gate: Gateway, upstream: ScriptedOllama) -> None:
    for fields, named, param in (
        ({"session_id": "s-2"}, {"X-Session-Id": "s-1"}, "session_id"),
        ({"session_id": "no id"}, {}, "session_id"),
        ({}, {"X-Session-Id": "no id"}, None),
    ):
        reply = gate.post(PATH, body_of(**fields), named)
        assert refusal(reply) == (400, "invalid_request_error", param, "bad_request")
    assert not upstream.chats


def test_a_new_question_in_a_session_supersedes_the_answer_that_is_running(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    upstream.script(text("half "), hang())
    upstream.script(text("new"), done())
    with open_stream(gate, session_id="s-busy") as stream:
        read_text(stream, "half ")
        assert whole(gate, session_id="s-busy")["choices"][0]["message"]["content"] == "new"
        assert end_of(read_chunks(stream)) == ("stop", "superseded")
    assert gate.delete("/api/sessions/s-busy").status == 204


def test_without_a_session_questions_do_not_meet(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    upstream.script(text("new"), done())
    with open_stream(gate) as stream:
        read_text(stream, "half ")
        assert whole(gate)["choices"][0]["message"]["content"] == "new"
        assert gate.get("/api/status").json["streams"] == 1


@pytest.mark.parametrize("is_named", [True, False])
def test_an_interrupt_ends_the_stream(gate: Gateway, upstream: ScriptedOllama, is_named: bool) -> None:
    upstream.script(text("half "), hang())
    named: dict[str, Any] = {"session_id": "s-stop"} if is_named else {}
    with open_stream(gate, **named) as stream:
        read_text(stream, "half ")
        by = {"session_id": "s-stop"} if is_named else {"run_id": stream.headers["X-Run-Id"]}
        assert interrupt(gate, **by)["partial"] == "half "
        assert end_of(read_chunks(stream)) == ("stop", "interrupted")
        assert_closed(upstream.next_request())


def test_an_interrupt_ends_a_whole_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with StreamClient(gate.base_url, body_of(session_id="s-whole"), path=PATH) as stream:
        request = upstream.next_request()
        wait_for(lambda: request.sent, "half of it is sent")
        assert interrupt(gate, "s-whole")["interrupted"]
        data = stream.read_body()
    assert b'"finish_reason":"stop"' in data
    assert b'"clawgate":{"done_reason":"interrupted"}' in data


LEAVE: dict[str, Callable[[StreamClient], None]] = {"close": StreamClient.close, "reset": StreamClient.reset}


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize(
    "steps", [(hang(),), (headers(), hang()), (text("half "), hang())], ids=["silent", "head", "text"]
)
@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_client_that_leaves_stops_the_model(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], leave: str, is_streamed: bool
) -> None:
    upstream.script(*steps)
    with StreamClient(gate.base_url, body_of(stream=is_streamed), path=PATH) as stream:
        request = upstream.next_request()
        LEAVE[leave](stream)
        assert_closed(request)


def test_a_repeated_question_gets_the_same_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("once"), done())
    key = {"Idempotency-Key": "0123456789abcdef"}
    answers = [gate.post(PATH, body_of(session_id="s-key", stream=True), key) for _ in range(2)]
    first, second = (chunks_in(answer.json.encode()) for answer in answers)
    assert text_of(first) == text_of(second) == "once"
    assert first[0]["id"] == second[0]["id"]
    assert len(upstream.chats) == 1


def test_a_mistake_costs_ollama_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    reply = gate.post(PATH, body_of({"role": "user", "content": [{"type": "video"}]}, stream=True))
    assert refusal(reply) == (400, "invalid_request_error", "messages[0].content[0].type", "bad_request")
    reply = gate.post(PATH, body_of(model="gpt-4o"))
    assert refusal(reply) == (403, "permission_error", "model", "model_not_allowed")
    assert not upstream.chats


def test_a_client_that_leaves_ends_its_embeddings(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang(), path="/api/embed")
    with StreamClient(gate.base_url, {"input": "a"}, path="/v1/embeddings") as stream:
        request = upstream.next_request(path="/api/embed")
        stream.close()
        assert_closed(request)
