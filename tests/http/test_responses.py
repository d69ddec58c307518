"""`POST /v1/responses`: OpenAI's newer API in front of the same runs, with their interrupts, errors and heartbeats."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured, interrupt, session
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway
from tests.support.named import parse, read_until
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    done,
    end,
    error_line,
    hang,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 1.0, "retry_seconds": 0.2})

PATH = "/v1/responses"
CALL = {"function": {"name": "wetter", "arguments": {"ort": "Köln"}}}


def ask(gate: Gateway, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    return gate.post(PATH, {"model": DEFAULT_MODEL, "input": "hi", **fields}, headers)


def stream_of(gate: Gateway, headers: dict[str, str] | None = None, **fields: Any) -> StreamClient:
    body = {"model": DEFAULT_MODEL, "input": "hi", "stream": True, **fields}
    return StreamClient(gate.base_url, body, path=PATH, headers=headers)


def failure(reply: Reply) -> tuple[int, str, str | None, str]:
    """Return the status, OpenAI's type, the field and our code of an error."""
    assert reply.headers["Content-Type"].startswith("application/json")
    error = reply.json["error"]
    return reply.status, error["type"], error["param"], error["code"]


def test_a_stream_is_these_events(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), texts("春", "光"), tool_calls([CALL]), done())
    with stream_of(gate) as stream:
        events = parse(stream.read_body())
        assert stream.complete
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        run_id = stream.headers["X-Run-Id"]
        assert "X-Session-Id" not in stream.headers
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(20))
    assert events[-1]["response"]["id"] == f"resp_{run_id.removeprefix('run_')}"


def test_a_whole_answer_is_one_response(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), texts("春", "光"), done())
    asked: dict[str, Any] = {
        "instructions": "s",
        "temperature": 0.5,
        "max_output_tokens": 64,
        "reasoning": {"effort": "high"},
    }
    response = ask(gate, **asked, store=True).json
    assert response.keys() >= {"id", "object", "created_at", "completed_at", "error", "tools", "tool_choice"}
    assert (response["status"], response["model"], response["store"]) == ("completed", DEFAULT_MODEL, False)
    assert (response["temperature"], response["max_output_tokens"]) == (0.5, 64)
    assert response["reasoning"] == {"effort": "high"}
    thought, said = response["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert said["content"] == [{"type": "output_text", "text": "春光", "annotations": [], "logprobs": []}]
    assert response["usage"]["total_tokens"] == 316
    assert upstream.chats[0].json == {
        "model": DEFAULT_MODEL,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
        "stream": True,
        "think": "high",
        "options": {"temperature": 0.5, "num_predict": 64},
    }


def test_nothing_is_kept_unless_a_session_is_named(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(texts("Hel", "lo."), done())
    for headers, fields in (({"X-Session-Id": "s-r1"}, {}), ({}, {"session_id": "s-r2"})):
        named = ask(gate, headers, **fields).headers["X-Session-Id"]
        assert named in ("s-r1", "s-r2")
        kept = session(gate, named)["messages"]
        assert [(message["role"], message["content"]) for message in kept] == [("user", "hi"), ("assistant", "Hello.")]
    assert failure(ask(gate, {"X-Session-Id": "s-r1"}, session_id="s-r2"))[0] == 400
    assert "X-Session-Id" not in ask(gate).headers


@pytest.mark.parametrize("by", ["run_id", "session_id"])
def test_an_interrupt_from_outside_ends_the_stream_properly(gate: Gateway, upstream: ScriptedOllama, by: str) -> None:
    upstream.script(text("half "), hang())
    with stream_of(gate, {"X-Session-Id": "s-int"} if by == "session_id" else None) as stream:
        read_until(stream, "response.output_text.delta")
        request = upstream.next_request()
        which = {"run_id": stream.headers["X-Run-Id"]} if by == "run_id" else {"session_id": "s-int"}
        answer = interrupt(gate, **which)
        assert (answer["interrupted"], answer["partial"]) == (True, "half ")
        response = read_until(stream, "response.incomplete")["response"]
        stream.read_body()
        assert stream.complete
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "interrupted"})
    assert response["clawgate"] == {"done_reason": "interrupted"}
    assert response["output"][0]["content"][0]["text"] == "half "
    assert_closed(request)


@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_stops_the_model(gate: Gateway, upstream: ScriptedOllama, is_streamed: bool) -> None:
    upstream.script(text("half "), hang())
    with stream_of(gate, stream=is_streamed) as stream:
        request = upstream.next_request()
        if is_streamed:
            read_until(stream, "response.output_text.delta")
    assert_closed(request)


def test_the_head_waits_for_a_heartbeat_at_most(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), texts("a", "b"), done())
    with stream_of(gate) as stream:
        read_until(stream, "comment")
        assert stream.status == 200
        go.set()
        response = read_until(stream, "response.completed")["response"]
        kinds = [event["type"] for event in parse(stream.received)]
    assert kinds[:3] == ["response.created", "response.in_progress", "comment"]
    assert response["output"][0]["content"][0]["text"] == "ab"


REFUSED: list[tuple[str, tuple[Step, ...], tuple[int, str, str | None, str]]] = [
    ("refused", (status(400, {"error": "bad"}),), (400, "invalid_request_error", None, "upstream_refused")),
    ("missing", (status(404, {"error": "model 'x' not found"}),), (404, "not_found_error", "model", "model_not_found")),
    ("failed", (error_line("out of memory"),), (502, "server_error", None, "upstream_error")),
]


@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("steps", "expected"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_an_error_before_the_first_word_has_its_status(
    gate: Gateway,
    upstream: ScriptedOllama,
    steps: tuple[Step, ...],
    expected: tuple[int, str, str | None, str],
    is_streamed: bool,
) -> None:
    upstream.script(*steps)
    reply = ask(gate, stream=is_streamed)
    assert failure(reply) == expected
    assert reply.headers["x-should-retry"] == "false"


def test_an_error_in_the_stream_is_its_last_event(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), error_line("out of memory"))
    with stream_of(gate) as stream:
        last = parse(stream.read_body())[-1]
        assert stream.complete
    error = {"code": "server_error", "message": "out of memory", "type": "upstream_error"}
    assert (last["type"], last["response"]["error"]) == ("response.failed", error)


def test_a_dropped_answer_is_gone_on_with(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer("故宫、天坛、颐和园", token_size=2, drop_after=[2])
    assert ask(gate).json["output"][0]["content"][0]["text"] == "故宫、天坛、颐和园"
    assert len(upstream.chats) == 2


def test_an_answer_that_is_not_whole_says_so(gate: Gateway, upstream: ScriptedOllama) -> None:
    for steps, reason in (((text("half"), end()), "truncated"), ((text("half"), done("length")), "max_output_tokens")):
        upstream.script(*steps)
        response = ask(gate).json
        assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})


def test_a_repeated_question_starts_no_second_run(gate: Gateway, upstream: ScriptedOllama) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4()), "X-Session-Id": "s-key"}
    first, second = ask(gate, key), ask(gate, key)
    assert first.json["output"] == second.json["output"]
    assert len(upstream.chats) == 1


def test_what_is_wrong_is_refused_in_openais_form(gate: Gateway, upstream: ScriptedOllama) -> None:
    bad = "invalid_request_error"
    assert failure(ask(gate, previous_response_id="resp_1")) == (400, bad, "previous_response_id", "bad_request")
    assert failure(ask(gate, tools=[{"type": "web_search"}])) == (400, bad, "tools[0].type", "bad_request")
    assert failure(ask(gate, model="gpt-5")) == (403, "permission_error", "model", "model_not_allowed")
    assert failure(gate.get(PATH)) == (405, bad, None, "method_not_allowed")
    assert failure(gate.get(f"{PATH}/resp_1")) == (404, "not_found_error", None, "not_found")
    deep = b'{"input": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert failure(gate.post(PATH, deep)) == (400, bad, None, "bad_request")
    nested = '{"a":' * 200 + "1" + "}" * 200
    arguments = [{"type": "function_call", "call_id": "c", "name": "f", "arguments": nested}]
    assert failure(ask(gate, input=arguments)) == (400, bad, "input[0].arguments", "bad_request")
    assert not upstream.chats
    wait_for(lambda: gate.streams == 0, "nothing is in flight")
