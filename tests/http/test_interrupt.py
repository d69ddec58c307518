"""POST /api/interrupt works in every phase of an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.http.asking import (
    assert_closed,
    configured,
    finish,
    flood,
    interrupt,
    opening,
    reason,
    session,
    start,
    wait_until_steady,
)
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, call, done, drop, hang, headers, text, texts, thinking
from tests.support.sse import end_of, text_of
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})

OPENING = opening("s-int")
FLOOD = "多" * 1000


def until_thinking(stream: StreamClient) -> None:
    stream.read_until(lambda event: event.data.get("thinking") == "Hm")


def until_text(stream: StreamClient) -> None:
    stream.read_text("故宫、天坛 ")


PHASES: dict[str, tuple[tuple[Step, ...], Callable[[StreamClient], object], str]] = {
    "silent before headers": ((hang(),), start, ""),
    "silent after headers": ((headers(), hang()), start, ""),
    "empty frames": ((texts("", ""), hang()), start, ""),
    "thinking": ((thinking("Hm"), hang()), until_thinking, ""),
    "text": ((texts("故宫、", "天坛 "), hang()), until_text, "故宫、天坛 "),
    "after thinking": ((thinking("Hm"), texts("故宫、", "天坛 "), hang()), until_text, "故宫、天坛 "),
}


@pytest.mark.parametrize("phase", PHASES)
def test_interrupt_ends_the_answer_and_closes_upstream(gate: Gateway, upstream: ScriptedOllama, phase: str) -> None:
    steps, reach, partial = PHASES[phase]
    upstream.script(*steps)
    with gate.stream(OPENING) as stream:
        request = upstream.next_request()
        reach(stream)
        run_id = stream.events[0].data["run_id"]
        done = interrupt(gate, "s-int")
        assert_closed(request)
        assert done == {"session_id": "s-int", "run_id": run_id, "interrupted": True, "partial": partial}
        view = session(gate, "s-int")
        assert (view["messages"][-1]["content"], view["messages"][-1]["interrupted"]) == (partial, True)
        assert (view["streaming"], view["run_id"]) == (False, None)
        events = finish(stream)
    assert (reason(events), text_of(events)) == ("interrupted", partial)
    assert end_of(events)["run_id"] == run_id
    again = interrupt(gate, "s-int")
    assert again == {"session_id": "s-int", "run_id": None, "interrupted": False}


def test_partial_text_is_what_the_reader_got(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Each interrupt comes in the middle of a fast stream."""
    upstream.default(*[texts(*[f"{index} " for index in range(2000)])] * 20, hang())
    for round_number in range(10):
        with gate.stream(opening(f"s-fast-{round_number}")) as stream:
            stream.read_text("100 ")
            partial = interrupt(gate, f"s-fast-{round_number}")["partial"]
            events = finish(stream)
        assert reason(events) == "interrupted"
        assert text_of(events) == partial
        assert session(gate, f"s-fast-{round_number}")["messages"][-1]["content"] == partial
        assert upstream.chats[-1].text_sent.startswith(partial)


def test_interrupt_while_ollama_is_away(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), drop())
    with gate.stream(OPENING) as stream:
        stream.read_text("half ")
        upstream.stop()
        stream.read_until(lambda event: event.data.get("status") == "waiting")
        assert interrupt(gate, "s-int")["partial"] == "half "
        assert reason(finish(stream)) == "interrupted"
    upstream.start()
    assert session(gate, "s-int")["messages"][-1]["content"] == "half "
    assert len(upstream.chats) == 1, "it is not asked again"


def test_interrupt_while_ollama_accepts_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The backlog of Ollama's port is full, so the connection is never made."""
    upstream.stop()
    with socket.socket() as listener, ExitStack() as stack:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", upstream.port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        with gate.stream(OPENING) as stream:
            start(stream)
            assert interrupt(gate, "s-int")["partial"] == ""
            assert reason(finish(stream)) == "interrupted"
    assert session(gate, "s-int")["streaming"] is False


def test_a_connection_that_is_accepted_late_is_not_used(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", upstream.port))
        listener.listen(0)
        listener.settimeout(10)
        with gate.stream(OPENING) as stream:
            start(stream)
            connection, _ = listener.accept()
            with connection:
                assert interrupt(gate, "s-int")["interrupted"] is True
                connection.settimeout(10)
                while connection.recv(65536):
                    pass  # the request may have been sent; its end follows
                assert reason(finish(stream)) == "interrupted"


def test_interrupt_while_the_template_is_asked_for(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), drop())
    upstream.script(hang(), path="/api/show")
    with gate.stream(OPENING) as stream:
        question = upstream.next_request(path="/api/show")
        assert interrupt(gate, "s-int")["partial"] == "half "
        assert_closed(question)
        assert reason(finish(stream)) == "interrupted"
    assert len(upstream.chats) == 1


def test_interrupt_while_an_error_is_read(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(500, content_length=100), hang())
    with gate.stream(OPENING) as stream:
        request = upstream.next_request()
        start(stream)
        assert interrupt(gate, "s-int")["interrupted"] is True
        assert_closed(request)
        assert reason(finish(stream)) == "interrupted"


def test_interrupt_while_its_own_reader_reads_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Every buffer on the way is full and the pump is stuck in its write. The interrupt does not wait for it."""
    upstream.script(flood(FLOOD))
    with gate.stream(OPENING, receive_buffer_bytes=4096) as stream:
        request = upstream.next_request()
        wait_until_steady(lambda: len(request.sent))
        done = interrupt(gate, "s-int")
        assert_closed(request)
        assert done["interrupted"] is True
        assert done["partial"].startswith(FLOOD)
        assert session(gate, "s-int")["messages"][-1]["content"] == done["partial"]
        events = finish(stream)
    assert reason(events) == "interrupted"
    assert text_of(events) == done["partial"], "nothing that was settled is kept from the reader"


def test_a_late_interrupt_does_not_hit_the_next_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one"), done())
    upstream.script(text("two"), hang())
    with gate.stream(OPENING) as stream:
        stale = finish(stream)[0].data["run_id"]
    with gate.stream({"message": "and?", "session_id": "s-int"}) as stream:
        stream.read_text("two")
        assert interrupt(gate, "s-int", stale) == {"session_id": "s-int", "run_id": stale, "interrupted": False}
        assert interrupt(gate, run_id=stale)["interrupted"] is False
        assert session(gate, "s-int")["streaming"] is True
        run_id = stream.events[0].data["run_id"]
        assert interrupt(gate, "s-int", run_id)["partial"] == "two"
        assert reason(finish(stream)) == "interrupted"


def test_run_id_alone_reaches_the_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one"), hang())
    with gate.stream(OPENING) as stream:
        stream.read_text("one")
        run_id = stream.events[0].data["run_id"]
        assert interrupt(gate, run_id=run_id) == {
            "session_id": "s-int",
            "run_id": run_id,
            "interrupted": True,
            "partial": "one",
        }
        assert reason(finish(stream)) == "interrupted"
    unknown = interrupt(gate, run_id="run_nobody")
    assert (unknown["run_id"], unknown["interrupted"]) == ("run_nobody", False)


def test_of_many_interrupts_at_once_one_hits(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one"), hang())
    with gate.stream(OPENING) as stream:
        stream.read_text("one")
        with ThreadPoolExecutor(10) as pool:
            done = list(pool.map(lambda _: interrupt(gate, "s-int"), range(30)))
        assert [each["partial"] for each in done if each["interrupted"]] == ["one"]
        assert reason(finish(stream)) == "interrupted"


def test_interrupt_and_the_models_own_end_at_once_leave_one_end(gate: Gateway, upstream: ScriptedOllama) -> None:
    reasons: list[str] = []
    for _ in range(20):
        go = threading.Event()
        upstream.script(text("one"), call(lambda answer, go=go: answer.wait(go)), texts(" two"), done())  # type: ignore[misc]
        with gate.stream(OPENING) as stream:
            stream.read_text("one")
            go.set()
            hit = interrupt(gate, "s-int")["interrupted"]
            events = finish(stream)
        reasons.append(reason(events))
        assert reasons[-1] == ("interrupted" if hit else "stop")
        answer = session(gate, "s-int")["messages"][-1]
        assert (answer["content"], answer.get("interrupted", False)) == (text_of(events), hit)


def test_an_unknown_session_is_404(gate: Gateway) -> None:
    reply = gate.post("/api/interrupt", {"session_id": "s-nobody"})
    assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_session")
    assert reply.headers["X-Session-Id"] == "s-nobody"


def test_a_session_at_rest_has_nothing_to_interrupt(gate: Gateway, upstream: ScriptedOllama) -> None:
    with gate.stream(OPENING) as stream:
        finish(stream)
    wait_for(lambda: interrupt(gate, "s-int") == {"session_id": "s-int", "run_id": None, "interrupted": False}, "rest")
    assert "interrupted" not in session(gate, "s-int")["messages"][-1]
    assert upstream.chats[0].text_sent == "Hello."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "session_id"),
        ({"session_id": None, "run_id": None}, "session_id"),
        ({"session_id": 5}, "session_id"),
        ({"session_id": ""}, "session_id"),
        ({"session_id": "a b"}, "session_id"),
        ({"session_id": "a\n"}, "session_id"),
        ({"session_id": "x" * 129}, "session_id"),
        ({"run_id": ["r"]}, "run_id"),
        ([], "body"),
        (b"{", "body"),
        (b"", "body"),
    ],
    ids=repr,
)
def test_a_bad_body_is_400_and_names_the_field(gate: Gateway, body: object, field: str) -> None:
    reply = gate.post("/api/interrupt", body)
    assert (reply.status, reply.json["error"]["code"]) == (400, "bad_request")
    assert reply.json["error"]["message"].startswith(f"{field}: expected")
