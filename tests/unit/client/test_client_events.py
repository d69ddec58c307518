"""The events of an answer, as the client reads them: those that the gateway's own encoder writes, and what is none."""

from __future__ import annotations

import pytest

from clawgate import errors
from clawgate.client import events
from clawgate.client.events import Event, event_of
from clawgate.client.sse import Parser
from clawgate.relay import events as relay
from clawgate.web.api import sse

CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
STARTED = relay.Started("sess_1", "run_1", "qwen3:32b", ("temprature",), 2, 1)
SAME: list[tuple[relay.Event, Event | None]] = [
    (STARTED, events.Started("sess_1", "run_1", "qwen3:32b", 2, 1, ("temprature",))),
    (relay.Text("春\u2028光"), events.Text("春\u2028光")),
    (relay.Thinking("hm"), events.Thinking("hm")),
    (relay.ToolCalls((CALL,)), events.ToolCalls((CALL,))),
    (relay.Waiting("upstream_unreachable", 2), events.Waiting("upstream_unreachable", 2)),
    (relay.Resumed(), events.Resumed()),
    (relay.Restarted(), events.Restarted()),
    (relay.Ping(), events.Ping()),
    (relay.Reset(STARTED, 7, "all", "hm", (CALL,)), events.Reset("all", "hm", (CALL,), "sess_1", "run_1")),
    (relay.Ended("sess_1", "run_1", "stop", is_empty=True), events.Ended("stop", is_empty=True)),
    (
        relay.Ended("sess_1", "run_1", "error", error=errors.UpstreamRefused("no vision")),
        events.Ended(
            "error",
            events.Failure("upstream_refused", "Ollama refused this request: no vision", "no vision"),
        ),
    ),
    (relay.Text(""), None),
]


@pytest.mark.parametrize(("told", "heard"), SAME, ids=lambda event: type(event).__name__)
def test_what_the_gateway_tells_is_heard(told: relay.Event, heard: Event | None) -> None:
    (message,) = Parser().feed(b"".join(sse.stream("run_1", [told])))
    assert event_of(message.data) == heard


def test_every_kind_of_event_is_here() -> None:
    assert {type(told) for told, _ in SAME} == set(relay.Event.__subclasses__())
    heard = {type(event) for _, event in SAME if event is not None}
    assert set(Event.__subclasses__()) - heard == {events.Reconnecting}


def test_what_is_not_known_yet_is_passed_over() -> None:
    assert event_of('{"status": "resting", "message": ""}') is None
    assert event_of('{"novelty": 1, "message": ""}') is None
    assert event_of('{"message": "春", "novelty": [1]}') == events.Text("春")


@pytest.mark.parametrize("data", ["", "[]", "{", '{"message": 1}', '{"a":' + "[" * 100_000, '"Ollama is running"'])
def test_what_is_no_event_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        event_of(data)
