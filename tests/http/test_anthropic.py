"""`POST /v1/messages`: Anthropic's API in front of the same runs, with their interrupts, errors and heartbeats."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured
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

pytestmark = configured(
    stream={"smoothing_ms": 0, "heartbeat_seconds": 1.0, "retry_seconds": 0.2},
    server={"auth_token": "s3cret-token"},
)

PATH = "/v1/messages"
TOKEN = {"Authorization": "Bearer s3cret-token"}
CALL = {"function": {"name": "wetter", "arguments": {"ort": "Köln"}}}
BEGINNING = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_%s","type":"message","role":"assistant",'
    '"model":"qwen3:32b","content":[],"stop_reason":null,"stop_sequence":null,'
    '"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
)
REST = (
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"thinking",'
    '"thinking":"","signature":""}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta",'
    '"thinking":"hm"}}\n\n'
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":{"type":"text",'
    '"text":""}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta",'
    '"text":"春光"}}\n\n'
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    '"usage":{"input_tokens":26,"output_tokens":290}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": DEFAULT_MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}], **fields}


def ask(gate: Gateway, headers: dict[str, str] | None = None, path: str = PATH, **fields: Any) -> Reply:
    return gate.post(path, asked(**fields), {**TOKEN, **(headers or {})})


def stream_of(gate: Gateway, headers: dict[str, str] | None = None, **fields: Any) -> StreamClient:
    body = asked(stream=True, **fields)
    return StreamClient(gate.base_url, body, path=PATH, headers={**TOKEN, **(headers or {})})


def interrupt(gate: Gateway, **which: str) -> dict[str, Any]:
    reply = gate.post("/api/interrupt", which, TOKEN)
    assert reply.status == 200
    return dict(reply.json)


def failure(reply: Reply) -> tuple[int, str, str]:
    """Return the status, Anthropic's type and our code of an error."""
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json.keys() == {"type", "error"}
    assert reply.json["type"] == "error"
    return reply.status, reply.json["error"]["type"], reply.json["error"]["details"]["error_code"]


def test_a_stream_is_these_bytes(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), text("春光"), done())
    with stream_of(gate) as stream:
        body = stream.read_body().decode()
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert (stream.headers["Cache-Control"], stream.headers["X-Accel-Buffering"]) == (
            "no-cache, no-transform",
            "no",
        )
        run_id = stream.headers["X-Run-Id"]
        assert "X-Session-Id" not in stream.headers
    assert body == BEGINNING % run_id.removeprefix("run_") + REST


def test_a_whole_answer_is_one_message(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), text("春光"), tool_calls([CALL]), done())
    reply = ask(gate)
    own = reply.headers["X-Run-Id"].removeprefix("run_")
    assert reply.json == {
        "id": f"msg_{own}",
        "type": "message",
        "role": "assistant",
        "model": DEFAULT_MODEL,
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "春光"},
            {"type": "tool_use", "id": f"toolu_{own}_0", "name": "wetter", "input": {"ort": "Köln"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 26, "output_tokens": 290},
    }


def test_a_coding_agents_request_reaches_ollama(gate: Gateway, upstream: ScriptedOllama) -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    system: list[dict[str, Any]] = [
        {"type": "text", "text": "You are " + "long " * 9000, **cached},
        {"type": "text", "text": "Be brief."},
    ]
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b", "x-app": "cli"}
    fields: dict[str, Any] = {
        "system": system,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", **cached}]}],
        "tools": [{"name": "Bash", "description": "Runs", "input_schema": {"type": "object"}, **cached}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "metadata": {"user_id": "u"},
        "context_management": {"edits": []},
    }
    assert ask(gate, headers, f"{PATH}?beta=true", **fields).status == 200
    assert upstream.chats[0].json == {
        "model": DEFAULT_MODEL,
        "messages": [
            {"role": "system", "content": f"{system[0]['text']}\n\nBe brief."},
            {"role": "user", "content": "hi"},
        ],
        "stream": True,
        "options": {"num_predict": 64},
        "think": "high",
        "tools": [
            {"type": "function", "function": {"name": "Bash", "description": "Runs", "parameters": {"type": "object"}}}
        ],
    }


def test_nothing_is_kept_unless_a_session_is_named(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(texts("Hel", "lo."), done())
    for headers, fields in (({"X-Session-Id": "s-a1"}, {}), ({}, {"session_id": "s-a2"})):
        reply = ask(gate, headers, **fields)
        named = reply.headers["X-Session-Id"]
        assert named in ("s-a1", "s-a2")
        view = gate.get(f"/api/sessions/{named}", TOKEN).json
        assert [(message["role"], message["content"]) for message in view["messages"]] == [
            ("user", "hi"),
            ("assistant", "Hello."),
        ]
    reply = ask(gate, {"X-Session-Id": "s-a1"}, session_id="s-a2")
    assert failure(reply) == (400, "invalid_request_error", "bad_request")
    assert "X-Session-Id" not in ask(gate).headers


@pytest.mark.parametrize("by", ["run_id", "session_id"])
def test_an_interrupt_from_outside_ends_the_stream_properly(gate: Gateway, upstream: ScriptedOllama, by: str) -> None:
    upstream.script(text("half "), hang())
    with stream_of(gate, {"X-Session-Id": "s-int"} if by == "session_id" else None) as stream:
        read_until(stream, "content_block_delta")
        request = upstream.next_request()
        which = {"run_id": stream.headers["X-Run-Id"]} if by == "run_id" else {"session_id": "s-int"}
        answer = interrupt(gate, **which)
        assert (answer["interrupted"], answer["partial"]) == (True, "half ")
        delta = read_until(stream, "message_delta")
        assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
        assert delta["clawgate"] == {"done_reason": "interrupted"}
        read_until(stream, "message_stop")
        stream.read_body()
        assert stream.complete
    assert_closed(request)


@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_stops_the_model(gate: Gateway, upstream: ScriptedOllama, is_streamed: bool) -> None:
    upstream.script(text("half "), hang())
    with StreamClient(gate.base_url, asked(stream=is_streamed), path=PATH, headers=TOKEN) as stream:
        request = upstream.next_request()
        if is_streamed:
            read_until(stream, "content_block_delta")
    assert_closed(request)


def test_the_head_waits_for_a_heartbeat_at_most(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), texts("a", "b"), done())
    with stream_of(gate) as stream:
        read_until(stream, "ping")
        assert stream.status == 200
        go.set()
        read_until(stream, "message_stop")
        events = parse(stream.received)
    assert [event["type"] for event in events][:2] == ["message_start", "ping"]
    assert "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta") == "ab"


REFUSED: list[tuple[tuple[Step, ...], tuple[int, str, str], str | None]] = [
    ((status(400, {"error": "bad schema"}),), (400, "invalid_request_error", "upstream_refused"), "false"),
    ((status(404, {"error": "model 'x' not found"}),), (404, "not_found_error", "model_not_found"), "false"),
    ((error_line("out of memory"),), (502, "api_error", "upstream_error"), "false"),
]


@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("steps", "expected", "retry"), REFUSED, ids=lambda value: value[2] if len(value) == 3 else "")
def test_an_error_before_the_first_word_has_its_status(
    gate: Gateway,
    upstream: ScriptedOllama,
    steps: tuple[Step, ...],
    expected: tuple[int, str, str],
    retry: str | None,
    is_streamed: bool,
) -> None:
    upstream.script(*steps)
    reply = ask(gate, stream=is_streamed)
    assert failure(reply) == expected
    assert reply.headers["x-should-retry"] == retry


def test_an_error_in_the_stream_is_its_last_event(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), error_line("out of memory"))
    with stream_of(gate) as stream:
        events = parse(stream.read_body())
        assert stream.complete
    error = {"type": "api_error", "message": "out of memory", "details": {"error_code": "upstream_error"}}
    assert events[-1] == {"type": "error", "error": error}


def test_an_ollama_that_is_away_is_an_error_of_the_api(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    reply = ask(gate)
    upstream.start()
    assert failure(reply) == (502, "api_error", "upstream_unreachable")


def test_a_dropped_answer_is_gone_on_with(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer("故宫、天坛、颐和园", token_size=2, drop_after=[2])
    assert ask(gate).json["content"] == [{"type": "text", "text": "故宫、天坛、颐和园"}]
    assert len(upstream.chats) == 2


def test_a_truncated_answer_says_that_it_is_not_whole(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half"), end())
    message = ask(gate).json
    assert (message["stop_reason"], message["clawgate"]) == ("max_tokens", {"done_reason": "truncated"})


def test_a_repeated_question_starts_no_second_run(gate: Gateway, upstream: ScriptedOllama) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4()), "X-Session-Id": "s-key"}
    first, second = ask(gate, key), ask(gate, key)
    assert first.json == second.json
    assert len(upstream.chats) == 1


def test_other_addresses_and_methods_answer_in_the_same_form(gate: Gateway) -> None:
    tokens = gate.post(f"{PATH}/count_tokens", asked(), TOKEN)
    assert failure(tokens) == (404, "not_found_error", "not_found")
    keyed = gate.post(f"{PATH}/count_tokens", asked(), {"X-Api-Key": TOKEN["Authorization"].removeprefix("Bearer ")})
    assert failure(keyed) == (404, "not_found_error", "not_found")
    assert failure(gate.get(PATH, TOKEN)) == (405, "invalid_request_error", "method_not_allowed")
    assert failure(gate.post(PATH, asked())) == (401, "authentication_error", "unauthorized")
    plain = gate.post(PATH, b"hi", {**TOKEN, "Content-Type": "text/plain"})
    assert failure(plain) == (415, "invalid_request_error", "unsupported_media_type")
    assert failure(ask(gate, model="gpt-5")) == (403, "permission_error", "model_not_allowed")
    deep = b'{"messages": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert failure(gate.post(PATH, deep, TOKEN)) == (400, "invalid_request_error", "bad_request")
    wait_for(lambda: gate.streams == 0, "nothing is in flight")
