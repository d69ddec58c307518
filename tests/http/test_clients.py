"""Clients leave, half-close, or do not read: the model is stopped, and no other client notices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.http.asking import (
    ask,
    assert_closed,
    configured,
    contents,
    finish,
    flood,
    opening,
    reason,
    session,
    start,
    streams_of,
    wait_until_steady,
)
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, done, drop, hang, headers, text, thinking, wait
from tests.support.sse import text_of
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30}, server={"max_streams": 40})

WAYS: dict[str, Callable[[StreamClient], None]] = {
    "close": StreamClient.close,
    "reset": StreamClient.reset,
    "half-close": StreamClient.shutdown_write,
}


@pytest.mark.parametrize("leave", WAYS)
@pytest.mark.parametrize(
    "steps",
    [(hang(),), (headers(), hang()), (thinking("Hm"), hang()), (text("half "), hang())],
    ids=["silent", "headers", "thinking", "text"],
)
def test_a_client_that_leaves_closes_upstream(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], leave: str
) -> None:
    upstream.script(*steps)
    with gate.stream(opening("s-left")) as stream:
        start(stream)
        request = upstream.next_request()
        WAYS[leave](stream)
        assert_closed(request)
    wait_for(lambda: not session(gate, "s-left")["streaming"], "the session is at rest")
    assert session(gate, "s-left")["messages"][-1]["interrupted"] is True
    assert len(upstream.chats) == 1


def test_a_client_that_leaves_while_ollama_is_away_ends_the_waiting(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), drop())
    with gate.stream(opening("s-left")) as stream:
        stream.read_text("half ")
        upstream.stop()
        stream.read_until(lambda event: event.data.get("status") == "waiting")
    wait_for(lambda: streams_of(gate) == 0, "nobody waits any more", 2.0)
    upstream.start()
    assert contents(session(gate, "s-left")["messages"])[-1] == ("assistant", "half ")
    assert len(upstream.chats) == 1


def test_what_the_reader_had_is_kept_for_the_follow_up(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with gate.stream(opening("s-back")) as stream:
        stream.read_text("half ")
    wait_for(lambda: not session(gate, "s-back")["streaming"], "the session is at rest")
    upstream.script(text("whole"), done())
    ask(gate, {"continue": True, "session_id": "s-back"})
    assert session(gate, "s-back")["messages"][-1] == {"role": "assistant", "content": "half whole"}


def test_a_half_closed_reader_gets_the_end(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with gate.stream(opening("s-shut")) as stream:
        stream.read_text("half ")
        stream.shutdown_write()
        assert reason(finish(stream)) == "interrupted"


def test_a_client_that_left_before_it_was_served_costs_ollama_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A client that sends and leaves costs at most one request to Ollama, which is closed at once."""
    upstream.default(hang())
    for number in range(10):
        gate.stream(opening(f"s-hasty-{number}")).reset()
    wait_for(lambda: streams_of(gate) == 0, "none is in flight")
    for request in upstream.chats:
        assert_closed(request)


def test_a_reader_that_reads_nothing_holds_up_nobody(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    with ExitStack() as stack:
        stuck = []
        for number in range(10):
            upstream.script(flood("多" * 1000))
            stuck.append(stack.enter_context(gate.stream(opening(f"s-stuck-{number}"), receive_buffer_bytes=4096)))
            upstream.next_request()
        wait_until_steady(lambda: sum(len(request.sent) for request in upstream.chats))
        upstream.script(text("春"), wait(go), text("光"), done())
        with gate.stream("hi") as stream:
            stream.read_text("春")
            go.set()
            assert text_of(finish(stream)) == "春光"
        assert streams_of(gate) == 10
        for client in stuck:
            client.close()
    for request in upstream.chats[:10]:
        assert_closed(request)


def test_a_slow_reader_gets_all_of_it(gate: Gateway, upstream: ScriptedOllama) -> None:
    """An answer that fills all buffers on the way slows the model down and loses nothing."""
    words = [f"{index:06d}" + "多" * 2500 for index in range(2000)]
    upstream.script(*[text(word) for word in words], done())
    with gate.stream("hi", receive_buffer_bytes=1 << 16) as stream:
        request = upstream.next_request()
        wait_until_steady(lambda: len(request.sent))
        assert not request.finished.is_set(), "the model waits for the reader"
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("".join(words), "stop")


def test_a_request_that_is_never_finished_holds_no_slot(gate: Gateway, upstream: ScriptedOllama) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            half = stack.enter_context(gate.stream(method="GET", path="/healthz"))
            half.sock.sendall(
                b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Le"
            )
        assert reason(ask(gate, "hi")) == "stop"
    assert len(upstream.chats) == 1


def test_a_connection_is_used_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    """One connection carries answer after answer, as nginx uses it."""
    body = b'{"message": "hi", "stream": false}'
    request = (
        b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    )
    with gate.stream("hi") as stream:
        finish(stream)
        for _ in range(5):
            stream.sock.sendall(request % (len(body), body))
            data = b""
            while b'"done_reason":"stop"' not in data.replace(b" ", b""):
                piece = stream.sock.recv(65536)
                assert piece, data
                data += piece
    assert len(upstream.chats) == 6
