"""`stream: false`: one JSON object when the answer is complete, and every failure as an HTTP status."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured, interrupt, opening, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    DEFAULT_STATS,
    ScriptedOllama,
    Step,
    chunk,
    done,
    drop,
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
    stream={"smoothing_ms": 0, "stall_seconds": 0.5, "first_frame_seconds": 10, "retry_seconds": 0.3}
)

CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}


def whole(session_id: str, **fields: Any) -> dict[str, Any]:
    return opening(session_id, stream=False, **fields)


def test_an_answer_is_one_object(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("Hm", "."), texts("春", "光 "), tool_calls([CALL]), tool_calls([CALL]), done())
    reply = gate.post("/api/chat", whole("s-whole"))
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json == {
        "session_id": "s-whole",
        "run_id": reply.json["run_id"],
        "model": DEFAULT_MODEL,
        "message": "春光 ",
        "thinking": "Hm.",
        "tool_calls": [CALL, CALL],
        "done": True,
        "done_reason": "stop",
        "stats": DEFAULT_STATS,
    }
    assert upstream.chats[0].json["stream"] is True, "so that it can be interrupted and bounded"


def test_what_was_not_said_is_not_there(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done("length"))
    answer = gate.post("/api/chat", whole("s-short")).json
    assert answer.keys() == {"session_id", "run_id", "model", "message", "done", "done_reason", "stats"}
    assert answer["done_reason"] == "length"
    upstream.script(done())
    assert gate.post("/api/chat", whole("s-short")).json["message"] == ""


def test_an_answer_without_its_done_frame_is_truncated(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), end())
    reply = gate.post("/api/chat", whole("s-trunc"))
    assert (reply.status, reply.json["message"], reply.json["done_reason"]) == (200, "a", "truncated")


def test_a_dropped_answer_is_one_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer("春光明媚 and so on.", token_size=3, drop_after=[2, 1])
    assert gate.post("/api/chat", whole("s-drop")).json["message"] == "春光明媚 and so on."


def test_thinking_that_began_again_is_not_sent_twice(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer("Yes.", thinking="Hm, so. ", drop_after=[1])
    assert gate.post("/api/chat", whole("s-think")).json["thinking"] == "Hm, so. "


@pytest.mark.parametrize(
    ("steps", "expected", "code"),
    [
        ((status(500, {"error": "no memory"}),), 502, "upstream_error"),
        ((status(404, {"error": "model 'x' not found"}),), 502, "model_not_found"),
        ((text("a"), error_line("no memory")), 502, "upstream_error"),
        ((text("a"), chunk(b"x\n" * 3), hang()), 502, "upstream_bad_frames"),
        ((text("a"), hang()), 504, "upstream_stalled"),
    ],
    ids=["500", "404", "error line", "bad frames", "stall"],
)
def test_a_failure_is_its_http_status(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], expected: int, code: str
) -> None:
    upstream.script(*steps)
    reply = gate.post("/api/chat", whole("s-fail"))
    assert (reply.status, reply.json["error"]["code"]) == (expected, code)
    assert reply.json.keys() == {"error"}
    assert reply.json["error"].keys() == {"code", "message"}
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["X-Session-Id"] == "s-fail"
    assert session(gate, "s-fail")["streaming"] is False


def test_unreachable_is_502(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    reply = gate.post("/api/chat", whole("s-away"))
    assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_unreachable")
    assert reply.headers["x-should-retry"] == "false"
    upstream.start()


def test_it_can_be_interrupted(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(thinking("Hm"), text("half "), wait(go), text("more"), hang())
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(gate.post, "/api/chat", whole("s-cut", tools=[CALL]))
        request = upstream.next_request()
        wait_for(lambda: request.text_sent == "half ", "the text was sent")
        go.set()
        done_with = wait_for(lambda: said if (said := interrupt(gate, "s-cut"))["interrupted"] else None, "it hit")
        assert_closed(request)
        answer = reply.result()
    assert (answer.status, answer.json["done_reason"]) == (200, "interrupted")
    assert answer.json["message"] == done_with["partial"]
    assert session(gate, "s-cut")["messages"][-1]["interrupted"] is True


def test_a_new_message_supersedes_it(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang())
    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(gate.post, "/api/chat", whole("s-super"))
        request = upstream.next_request()
        new = gate.post("/api/chat", whole("s-super"))
        assert_closed(request)
        assert old.result().json["done_reason"] == "superseded"
    assert new.json["message"] == "Hello."


@pytest.mark.parametrize("steps", [(hang(),), (text("half "), hang())], ids=["silent", "text"])
def test_a_client_that_leaves_closes_upstream(gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...]) -> None:
    upstream.script(*steps)
    with gate.stream(whole("s-left", tools=[CALL])):
        request = upstream.next_request()
    assert_closed(request)
    wait_for(lambda: not session(gate, "s-left")["streaming"], "the session is at rest")


def test_nothing_is_sent_before_the_answer_is_complete(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("春"), text("光"), drop())
    upstream.script(text("!"), done())
    with gate.stream(whole("s-one")) as stream:
        body = stream.read_body()
        assert (stream.status, stream.complete) == (200, True)
        assert stream.headers["Content-Length"] == str(len(body))
    assert "春光!".encode() in body, "non-ASCII text is readable"
