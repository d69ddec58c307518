"""StreamClient on responses that are cut, broken or late."""

from __future__ import annotations

import threading
import time
from email.message import Message

import pytest

from tests.support.body import BodyReader
from tests.support.client import StreamClient, post
from tests.support.ollama import ScriptedOllama, Step, chunk, drop, end, headers, raw, reset, status, wait
from tests.support.sse import PING, check, parse, text_of
from tests.support.tools import DEADLINE_S
from tests.unit.support.test_support_sse import END, START, STREAM, TEXTS

ASK = {"model": "qwen3:32b", "messages": [{"role": "user", "content": "Hi."}]}


def ask(ollama: ScriptedOllama, *steps: Step) -> StreamClient:
    """Let the scripted server play a gateway."""
    ollama.script(*steps)
    return StreamClient(ollama.base_url, ASK)


def test_events_come_one_by_one_when_they_come(ollama: ScriptedOllama) -> None:
    gate = threading.Event()
    with ask(ollama, chunk(START), wait(gate), chunk(TEXTS), chunk(END), end()) as client:
        first = client.read_event()
        assert first is not None
        assert client.sent_at <= first.at <= time.monotonic()
        with pytest.raises(TimeoutError):
            client.read_event(timeout=0.02)
        gate.set()
        assert client.read_until(lambda event: event.is_ping)[-1].raw == PING
        assert text_of(client.read_all()) == "光"
        assert client.complete
        assert client.chunks == [START, TEXTS, END]
        check(client.events)
        assert client.read_event() is None


def test_events_are_the_same_wherever_chunks_are_cut(ollama: ScriptedOllama) -> None:
    for cut in range(1, len(STREAM), 7):
        with ask(ollama, chunk(STREAM[:cut]), chunk(STREAM[cut:]), end()) as client:
            assert client.read_all() == parse(STREAM)


@pytest.mark.parametrize("ending", [drop(), reset()])
def test_body_is_incomplete_when_its_terminating_chunk_is_missing(ollama: ScriptedOllama, ending: Step) -> None:
    gate = threading.Event()
    with ask(ollama, chunk(STREAM), wait(gate), ending) as client:
        client.read_until(lambda event: event.is_end)
        gate.set()
        assert client.read_all() == []
        assert not client.complete
        assert client.was_closed
        assert client.was_reset == (ending.__repr__() == "reset()")


def test_half_an_event_is_seen_when_the_body_ends_in_it(ollama: ScriptedOllama) -> None:
    with ask(ollama, chunk(STREAM[:-1]), end()) as client, pytest.raises(AssertionError, match="ends in an event"):
        client.read_all()


def test_read_until_fails_when_the_stream_ends_first(ollama: ScriptedOllama) -> None:
    with ask(ollama, chunk(STREAM), end()) as client, pytest.raises(AssertionError, match="ended before"):
        client.read_until(lambda _: False)


@pytest.mark.parametrize("broken", [b"zz\r\n", b"1\r\nab\r\n", b"0\r\n\r\nmore", b"1;ext\r\na\r\n"])
def test_framing_errors_show_when_chunks_are_broken(ollama: ScriptedOllama, broken: bytes) -> None:
    with ask(ollama, headers(), raw(broken), drop()) as client, pytest.raises(AssertionError):
        client.read_body()


def test_body_is_incomplete_when_any_tail_of_it_is_missing() -> None:
    wire = b"5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n"
    fields = Message()
    fields["Transfer-Encoding"] = "chunked"
    for cut in range(len(wire)):
        body = BodyReader(fields, has_body=True)
        head = body.feed(wire[:cut])
        assert not body.is_complete
        assert head + body.feed(wire[cut:]) == b"hello0123456789"
        assert body.is_complete
        assert body.chunks == [b"hello", b"0123456789"]


def test_lines_come_one_by_one(ollama: ScriptedOllama) -> None:
    with ask(ollama, chunk(b"a\nb"), chunk(b"\nc"), end()) as client:
        assert [client.read_line() for _ in range(4)] == [b"a\n", b"b\n", b"c", b""]


def test_server_sees_the_close_after_a_half_close(ollama: ScriptedOllama) -> None:
    with ask(ollama, wait(threading.Event())) as client:
        client.shutdown_write()
        assert ollama.next_request().closed.wait(DEADLINE_S)


def test_json_helpers_return_status_headers_and_json(ollama: ScriptedOllama) -> None:
    ollama.script(status(503, {"error": "busy"}))
    code, fields, body = post(ollama.base_url, "/api/chat", ASK, headers={"X-A": "1"})
    assert (code, body) == (503, {"error": "busy"})
    assert fields["content-type"].startswith("application/json")
    assert ollama.next_request().headers["x-a"] == "1"
