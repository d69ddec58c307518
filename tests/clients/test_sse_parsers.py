"""Two readers of server-sent events that people use, on our own stream: ids, the error event, heartbeats, odd text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from tests.http.asking import configured, opening
from tests.support.gateway import Gateway
from tests.support.node import NodeCases
from tests.support.ollama import ScriptedOllama, done, error_line, silence, text, thinking
from tests.support.tools import require_package

BEAT_S = 0.05
pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": BEAT_S, "stall_seconds": 30})
WORDS = "春光\u2028满\u2029园\u0085<&>\n\r\n关\r不住🐉"
Seen = list[dict[str, Any]]
Read = Callable[[dict[str, Any]], Seen]


@pytest.fixture(scope="module")
def node(gate: Gateway) -> Iterator[NodeCases]:
    """The module's process."""
    parser = require_package("eventsource-parser")
    started = NodeCases(Path(__file__).with_name("sse_cases.mjs"), gate.base_url, parser)
    yield started
    started.stop()


@pytest.fixture(params=["httpx-sse", "eventsource-parser"])
def read(request: pytest.FixtureRequest, gate: Gateway) -> Read:
    """Ask for an answer, and return the events that a reader makes of the stream; null for what an event lacks."""
    if request.param == "httpx-sse":
        return lambda body: by_httpx_sse(gate, body)
    node: NodeCases = request.getfixturevalue("node")
    return lambda body: by_eventsource_parser(node, body)


def by_httpx_sse(gate: Gateway, body: dict[str, Any]) -> Seen:
    """Read a stream with httpx-sse: an event without a name is a `message`, and without an id has the last one."""
    with httpx.Client() as client, connect_sse(client, "POST", f"{gate.base_url}/api/chat", json=body) as source:
        events = [(sse.id, sse.event, sse.json()) for sse in source.iter_sse()]
    return [
        {"id": None if "ping" in data else id_, "event": None if event == "message" else event, "data": data}
        for id_, event, data in events
    ]


def by_eventsource_parser(node: NodeCases, body: dict[str, Any]) -> Seen:
    """Read a stream with eventsource-parser, which has nothing to say against it."""
    told = node.run(json.dumps(body))
    assert (told["errors"], told["retries"]) == ([], [])
    events: Seen = told["events"]
    return events


def test_every_event_is_read_as_it_was_meant(read: Read, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), *map(text, WORDS), silence(2 * BEAT_S), text("!"), done())
    events = read(opening("s-parsers"))
    pings = [event for event in events if "ping" in event["data"]]
    assert pings == [{"id": None, "event": None, "data": {"ping": "keepalive"}}] * len(pings) != []
    told = [event for event in events if event not in pings]
    run_id = told[0]["data"]["run_id"]
    assert [event["id"] for event in told] == [f"{run_id}:{number}" for number in range(1, len(told) + 1)]
    assert {event["event"] for event in told} == {None}
    assert "".join(event["data"]["message"] for event in told) == WORDS + "!"
    assert told[-1]["data"]["done_reason"] == "stop"


def test_an_error_is_an_event_of_its_own_name(read: Read, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), error_line("boom"))
    *_, last = read(opening("s-parsers"))
    assert last["event"] == "error"
    assert last["data"]["error"] == {"code": "upstream_error", "message": "boom"}
