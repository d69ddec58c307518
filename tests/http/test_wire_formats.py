"""What holds for every wire format: token, Host, limits, interrupt, leaving, sessions, and one proper end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured, contents, interrupt, session, streams_of
from tests.http.formats import FOREIGN, FORMATS, USER, Format, every, every_foreign, ours
from tests.support.client import StreamClient, call
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, frame, hang, status, text, wait
from tests.support.tools import wait_for

pytestmark = configured(server={"max_streams": 2, "max_body_bytes": 20_000}, stream={"smoothing_ms": 0})


def said(wire: Format, words: str) -> tuple[Any, ...]:
    """Return the steps of an Ollama that says some words, as the address that is asked has them."""
    if wire.path != "/api/generate":
        return (text(words),)

    return (frame({"response": words}),)


def script(upstream: ScriptedOllama, wire: Format, *steps: Any) -> str:
    """Queue an answer on the address of Ollama's that is asked; return that."""
    path = "/api/generate" if wire.path == "/api/generate" else "/api/chat"
    upstream.script(*steps, path=path)
    return path


def read_to(stream: StreamClient, words: bytes) -> None:
    """Read a stream until some words have come."""
    while words not in stream.received:
        assert stream.read_line(), stream.received


@every
def test_an_interrupt_by_the_runs_id_ends_the_answer_properly(
    gate: Gateway, upstream: ScriptedOllama, wire: Format
) -> None:
    path = script(upstream, wire, *said(wire, "The Palace"), hang())
    with wire.ask(gate) as stream:
        read_to(stream, b"The Palace")
        asked = upstream.next_request(path=path)
        run_id = stream.headers["X-Run-Id"]
        told = interrupt(gate, run_id=run_id)
        assert (told["interrupted"], told["run_id"], told["partial"]) == (True, run_id, "The Palace")
        stream.read_body()
        assert stream.complete
        assert b"interrupted" in stream.received
        assert ("X-Session-Id" in stream.headers) == (wire.words is ours)
        assert (told["session_id"] is None) == (wire.words is not ours)
    assert_closed(asked)
    wait_for(lambda: streams_of(gate) == 0, "the slot is free")


@every
def test_an_interrupt_before_the_first_frame_frees_ollama(
    gate: Gateway, upstream: ScriptedOllama, wire: Format
) -> None:
    path = script(upstream, wire, hang())
    with wire.ask(
        gate,
        headers={"X-Session-Id": "s-early"} if wire.words is not ours else {},
        **({"session_id": "s-early"} if wire.words is ours else {}),
    ) as stream:
        asked = upstream.next_request(path=path)
        assert interrupt(gate, "s-early")["interrupted"]
        stream.read_body()
        assert (stream.status, stream.complete) == (200, True)
    assert_closed(asked)


@every_foreign
def test_a_named_session_keeps_the_answer_and_goes_on_in_any_format(
    gate: Gateway, upstream: ScriptedOllama, wire: Format
) -> None:
    name = f"s-{wire.path.replace('/', '-')}-{len(wire.headers)}"
    path = script(upstream, wire, *said(wire, "The Palace"), hang())
    with wire.ask(gate, headers={"X-Session-Id": name}) as stream:
        read_to(stream, b"The Palace")
        assert stream.headers["X-Session-Id"] == name
        assert interrupt(gate, name)["interrupted"]
        stream.read_body()
    upstream.next_request(path=path)
    assert contents(session(gate, name)["messages"]) == [("user", "hi"), ("assistant", "The Palace")]
    upstream.script(text("Yes."), done())
    with gate.stream({"session_id": name, "message": "Really?"}) as follow_up:
        follow_up.read_all()
    asked = upstream.next_request().json["messages"]
    assert contents(asked) == [("user", "hi"), ("assistant", "The Palace"), ("user", "Really?")]


@every_foreign
def test_without_a_named_session_nothing_is_kept(gate: Gateway, upstream: ScriptedOllama, wire: Format) -> None:
    script(upstream, wire, *said(wire, "Hello"), done())
    with wire.ask(gate) as stream:
        stream.read_body()
        assert stream.complete
        assert "X-Session-Id" not in stream.headers
    assert interrupt(gate, run_id=stream.headers["X-Run-Id"])["interrupted"] is False


@every
@pytest.mark.parametrize("leave", [StreamClient.close, StreamClient.reset])
def test_leaving_closes_the_connection_to_ollama(
    gate: Gateway, upstream: ScriptedOllama, wire: Format, leave: Callable[[StreamClient], None]
) -> None:
    path = script(upstream, wire, *said(wire, "Hello"), hang())
    stream = wire.ask(gate)
    read_to(stream, b"Hello")
    leave(stream)
    assert_closed(upstream.next_request(path=path))
    wait_for(lambda: streams_of(gate) == 0, "the slot is free")


@every
def test_where_all_streams_are_taken_it_is_refused_in_its_own_words(
    gate: Gateway, upstream: ScriptedOllama, wire: Format
) -> None:
    go_on = threading.Event()
    upstream.default(text("Hello"), wait(go_on), done())
    with ExitStack() as stack:
        streams = [stack.enter_context(gate.stream({"messages": USER})) for _ in range(2)]
        for stream in streams:
            stream.read_text("Hello")
        refused = gate.post(wire.path, {"model": "qwen3:32b", **wire.body}, wire.headers)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert "2 streams are taken" in wire.words(refused.json)
        go_on.set()
        for stream in streams:
            stream.read_all()


@every
@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [
        (b"{", 400, "body"),
        (b"[]", 400, "body"),
        ({"model": "other:1b"}, 403, "expected one of qwen3:32b"),
        ({"model": 5}, 400, "model: expected"),
        ({"model": None, "messages": 5, "prompt": 5, "input": 5}, 400, ": expected"),
        ({"pad": "x" * 30_000}, 413, "at most 20000 bytes"),
    ],
    ids=["no-json", "no-object", "model", "no-model", "no-question", "too-long"],
)
def test_a_bad_request_is_refused_in_its_own_words(
    gate: Gateway, upstream: ScriptedOllama, wire: Format, sent: Any, code: int, words: str
) -> None:
    body = sent if isinstance(sent, bytes) else {"model": "qwen3:32b", **wire.body, **sent}
    refused = gate.post(wire.path, body, wire.headers)
    assert (refused.status, words in wire.words(refused.json)) == (code, True), refused.json
    assert refused.headers["X-Request-Id"]
    assert not upstream.chats


@every
def test_another_type_of_body_is_refused_in_its_own_words(gate: Gateway, wire: Format) -> None:
    refused = gate.post(wire.path, b"hi", {**wire.headers, "Content-Type": "text/plain"})
    assert (refused.status, "application/json" in wire.words(refused.json)) == (415, True)


@pytest.mark.parametrize(
    ("wire", "is_streamed"),
    [(FORMATS["ours"], False), *((wire, is_streamed) for wire in FOREIGN.values() for is_streamed in (True, False))],
)
def test_an_error_of_ollamas_before_the_first_frame_is_no_stream(
    gate: Gateway, upstream: ScriptedOllama, wire: Format, is_streamed: bool
) -> None:
    """But for our own stream, which has begun by then: the error is its end."""
    script(upstream, wire, status(400, {"error": "this model does not support tools"}))
    refused = gate.post(wire.path, {"model": "qwen3:32b", **wire.body, "stream": is_streamed}, wire.headers)
    assert (refused.status, refused.headers["x-should-retry"]) == (400, "false")
    error = refused.json
    assert "this model does not support tools" in str(error)
    if wire.words is not ours:
        assert "this model does not support tools" in wire.words(error)


def test_a_session_that_body_and_header_name_differently_is_refused(gate: Gateway) -> None:
    for wire in FOREIGN.values():
        for header, named in (("s-a", "s-b"), ("not an id", None)):
            body = {"model": "qwen3:32b", **wire.body} | ({"session_id": named} if named else {})
            refused = call("POST", gate.base_url, wire.path, body, {**wire.headers, "X-Session-Id": header})
            assert (refused.status, "X-Session-Id" in wire.words(refused.json)) == (400, True)
