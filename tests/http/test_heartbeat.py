"""Heartbeats come every so many seconds of a stream's life, whatever else happens."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from tests.http.asking import configured, finish, reason
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, done, every, headers, text, thinking, wait
from tests.support.sse import PING, text_of

BEAT_S = 0.2
pytestmark = configured(stream={"heartbeat_seconds": BEAT_S, "stall_seconds": 30})


def read_pings(stream: StreamClient, count: int) -> None:
    """Read until that many more pings have come."""
    for _ in range(count):
        stream.read_until(lambda event: event.is_ping)


@pytest.mark.parametrize(
    "before", [(), (headers(),), (thinking("Hm"),), (text("a"),)], ids=["silent", "headers", "thinking", "text"]
)
def test_pings_come_while_the_model_is_silent(
    gate: Gateway, upstream: ScriptedOllama, before: tuple[Step, ...]
) -> None:
    go = threading.Event()
    upstream.script(*before, wait(go), text("b"), done())
    with gate.stream("hi") as stream:
        read_pings(stream, 4)
        go.set()
        events = finish(stream)
        assert stream.chunks.count(PING) >= 4, "each is a chunk of its own, and exactly these bytes"
    assert text_of(events).endswith("b")


def test_pings_come_between_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(every(0.01, 150, lambda index: text(f"{index} ")), done())
    with gate.stream("hi") as stream:
        events = finish(stream)
    took_s = events[-1].at - stream.sent_at
    pings = [event for event in events if event.is_ping]
    assert took_s / BEAT_S / 2 <= len(pings) <= took_s / BEAT_S + 1, f"{len(pings)} pings in {took_s:.2f} s"
    assert text_of(events) == "".join(f"{index} " for index in range(150))


def test_pings_are_no_closer_than_they_should_be(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), done())
    with gate.stream("hi") as stream:
        read_pings(stream, 6)
        go.set()
        events = finish(stream)
    moments = [event.at for event in events if event.is_ping]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert sorted(gaps)[len(gaps) // 2] > BEAT_S / 2, gaps


def test_pings_come_while_ollama_is_away(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(done())
    upstream.stop()
    with gate.stream("hi") as stream:
        read_pings(stream, 4)
        upstream.start()
        assert reason(finish(stream)) == "stop"
