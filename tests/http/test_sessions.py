"""GET and DELETE /api/sessions/<id>: what the gateway remembers, and how it forgets."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.http.asking import (
    ask,
    assert_closed,
    configured,
    finish,
    flood,
    interrupt,
    opening,
    reason,
    session,
    wait_until_steady,
)
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, headers, text, wait
from tests.support.sse import end_of

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})

HOSTILE = 'quote " back \\ slash / \x00\x1f\x7f\b\f\n\r\t \u2028\u2029\u0085 é 春 👩‍👧 </script>'


def digest_of(messages: list[dict[str, Any]]) -> str:
    """Compute the digest as the contract says it, apart from the gateway's own code."""
    starts = [index for index, message in enumerate(messages) if message["role"] == "user"][-3:]
    turns = [[message["role"], message["content"]] for message in messages[starts[0] :]] if starts else []
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def test_view_shows_what_was_said(gate: Gateway, upstream: ScriptedOllama) -> None:
    before = datetime.now(timezone.utc)
    upstream.script(text("half "), hang())
    with gate.stream(opening("s-view", "看")) as stream:
        stream.read_text("half ")
        view = session(gate, "s-view")
        run_id = stream.events[0].data["run_id"]
        assert (view["streaming"], view["run_id"]) == (True, run_id)
        assert view["messages"] == [{"role": "user", "content": "看"}]
        interrupt(gate, "s-view")
        finish(stream)
    view = session(gate, "s-view")
    assert list(view) == [
        "session_id",
        "messages",
        "turns",
        "digest",
        "created_at",
        "last_active",
        "streaming",
        "run_id",
    ]
    assert view["session_id"] == "s-view"
    assert view["messages"] == [
        {"role": "user", "content": "看"},
        {"role": "assistant", "content": "half ", "interrupted": True},
    ]
    assert (view["turns"], view["streaming"], view["run_id"]) == (1, False, None)
    created, active = (datetime.fromisoformat(view[name]) for name in ("created_at", "last_active"))
    assert abs((created - before).total_seconds()) < 5
    assert created <= active


def test_times_move_as_they_should(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    ask(gate, opening("s-times"))
    first = session(gate, "s-times")
    ask(gate, {"message": "and?", "session_id": "s-times"})
    ask(gate, opening("s-times"))
    last = session(gate, "s-times")
    assert last["created_at"] == first["created_at"], "replacing the context makes no new session"
    assert last["last_active"] > first["last_active"]


@pytest.mark.parametrize("turns", range(1, 6))
def test_digest_is_that_of_the_last_three_turns(gate: Gateway, upstream: ScriptedOllama, turns: int) -> None:
    ask(gate, {"messages": [{"role": "user", "content": f"0 {HOSTILE}"}], "session_id": "s-digest"})
    for number in range(1, turns):
        upstream.script(text(f"answer {number} {HOSTILE}"), done())
        ask(gate, {"message": f"{number} {HOSTILE}", "session_id": "s-digest"})
    view = session(gate, "s-digest")
    assert view["turns"] == turns
    assert view["digest"] == digest_of(view["messages"])
    assert view["messages"][0]["content"] == f"0 {HOSTILE}"


def test_digest_counts_an_unfinished_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with gate.stream(opening("s-half")) as stream:
        stream.read_text("half ")
        partial = interrupt(gate, "s-half")["partial"]
        finish(stream)
    own_history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": partial}]
    assert session(gate, "s-half")["digest"] == digest_of(own_history)


def test_same_history_has_the_same_digest_elsewhere(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    ask(gate, opening("s-here"))
    ask(gate, opening("s-there"))
    ask(gate, opening("s-other", "ho"))
    here, there, other = (session(gate, name)["digest"] for name in ("s-here", "s-there", "s-other"))
    assert here == there != other


@pytest.mark.parametrize("session_id", ["s-nobody", "x" * 129, "a.b", "a b", "%00", "a\n", "é"])
def test_an_unknown_session_is_404(gate: Gateway, session_id: str) -> None:
    path = "/api/sessions/" + session_id.replace(" ", "%20").replace("\n", "%0A").replace("é", "%C3%A9")
    for reply in (gate.get(path), gate.delete(path)):
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_session")


def test_there_is_no_listing(gate: Gateway) -> None:
    for path in ("/api/sessions", "/api/sessions/", "/api/sessions/a/b"):
        assert gate.get(path).status == 404


def test_session_id_is_echoed_everywhere(gate: Gateway, upstream: ScriptedOllama) -> None:
    with gate.stream(opening("s-echo")) as stream:
        finish(stream)
        assert stream.headers["X-Session-Id"] == "s-echo"
    replies = [
        gate.post("/api/chat", opening("s-echo", stream=False)),
        gate.post("/api/interrupt", {"session_id": "s-echo"}),
        gate.get("/api/sessions/s-echo"),
        gate.post("/api/chat", {"continue": True, "session_id": "s-echo"}),
        gate.delete("/api/sessions/s-echo"),
        gate.get("/api/sessions/s-echo"),
        gate.post("/api/chat", {"message": "hi", "session_id": "s-echo"}),
    ]
    assert [reply.status for reply in replies] == [200, 200, 200, 409, 204, 404, 404]
    assert [reply.headers["X-Session-Id"] for reply in replies] == ["s-echo"] * len(replies)
    fresh = gate.post("/api/chat", {"message": "hi", "stream": False})
    assert fresh.headers["X-Session-Id"] == fresh.json["session_id"]
    assert len(upstream.chats) == 3


def test_delete_at_rest_forgets_everything(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-gone", "old"))
    reply = gate.delete("/api/sessions/s-gone")
    assert (reply.status, reply.json) == (204, None)
    assert gate.get("/api/sessions/s-gone").status == 404
    assert gate.delete("/api/sessions/s-gone").status == 404
    assert gate.post("/api/interrupt", {"session_id": "s-gone"}).status == 404
    assert gate.post("/api/chat", {"message": "hi", "session_id": "s-gone"}).status == 404
    ask(gate, opening("s-gone", "new"))
    assert [message["content"] for message in session(gate, "s-gone")["messages"]] == ["new", "Hello."]
    assert len(upstream.chats) == 2


def test_delete_while_streaming_ends_the_answer_for_good(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with gate.stream(opening("s-del")) as stream:
        stream.read_text("half ")
        request = upstream.next_request()
        assert gate.delete("/api/sessions/s-del").status == 204
        assert_closed(request)
        assert gate.get("/api/sessions/s-del").status == 404
        events = finish(stream)
    assert reason(events) == "interrupted"
    assert end_of(events)["session_id"] == "s-del"
    assert gate.get("/api/sessions/s-del").status == 404, "what was settled does not bring it back"


def test_delete_while_silent_ends_the_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(), hang())
    with gate.stream(opening("s-del")) as stream:
        request = upstream.next_request()
        assert gate.delete("/api/sessions/s-del").status == 204
        assert_closed(request)
        assert reason(finish(stream)) == "interrupted"


def test_a_deleted_id_means_nothing_though_its_reader_is_still_there(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The reader reads nothing, so its request is not over, and the id is forgotten all the same."""
    upstream.script(flood("多" * 1000))
    with gate.stream(opening("s-stuck"), receive_buffer_bytes=4096):
        request = upstream.next_request()
        wait_until_steady(lambda: len(request.sent))
        assert gate.delete("/api/sessions/s-stuck").status == 204
        assert_closed(request)
        assert gate.get("/api/sessions/s-stuck").status == 404
        assert gate.delete("/api/sessions/s-stuck").status == 404
        assert gate.post("/api/interrupt", {"session_id": "s-stuck"}).status == 404
        assert gate.post("/api/chat", {"message": "hi", "session_id": "s-stuck"}).status == 404
        ask(gate, opening("s-stuck", "new"))
        assert [message["content"] for message in session(gate, "s-stuck")["messages"]] == ["new", "Hello."]


def test_a_view_while_streaming_changes_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("春"), wait(go), text("光"), done())
    with gate.stream(opening("s-look")) as stream:
        stream.read_text("春")
        for _ in range(20):
            assert session(gate, "s-look")["streaming"] is True
        go.set()
        assert reason(finish(stream)) == "stop"
    assert session(gate, "s-look")["messages"][-1]["content"] == "春光"


def test_a_refusal_echoes_the_session_too(gate: Gateway) -> None:
    for body in ({}, {"message": 5}, {"message": "hi", "model": "other"}):
        reply = gate.post("/api/chat", {"session_id": "s-refused", **body})
        assert (reply.status in (400, 403), reply.headers["X-Session-Id"]) == (True, "s-refused")
    assert gate.post("/api/chat", {"session_id": "s refused"}).headers["X-Session-Id"] is None
