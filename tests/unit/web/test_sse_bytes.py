"""Events are exactly the bytes of the contract."""

from __future__ import annotations

import json

import msgspec
import pytest

from clawgate.errors import ClawgateError, ModelNotFound, UpstreamError
from clawgate.relay import events
from clawgate.relay.events import Ended, Event, Reset, Restarted, Resumed, Started, Text, Thinking, ToolCalls, Waiting
from clawgate.relay.stats import Context, Stats
from clawgate.web.api import sse
from clawgate.web.door.responses import encode_failure, one_line
from tests.support.sse import parse

CALL = {"function": {"name": "wetter", "arguments": {"ort": "Köln"}}}

BYTES: list[tuple[Event, str]] = [
    (
        Started("sess_1", "run_1", "qwen3:32b"),
        'data: {"session_id":"sess_1","run_id":"run_1","model":"qwen3:32b","message":""}\n\n',
    ),
    (
        Started("s", "r", "m", ("tpyo", "messages[].nmae")),
        'data: {"session_id":"s","run_id":"r","model":"m","message":"","ignored":["tpyo","messages[].nmae"]}\n\n',
    ),
    (
        Started("s", "r", "m", dropped_turns=2, dropped_images=1),
        'data: {"session_id":"s","run_id":"r","model":"m","message":"","dropped_turns":2,"dropped_images":1}\n\n',
    ),
    (Text("春光 🙂"), 'data: {"message":"春光 🙂"}\n\n'),
    (Text('a\r\nb\n\n"\\\t\0'), 'data: {"message":"a\\r\\nb\\n\\n\\"\\\\\\t\\u0000"}\n\n'),
    (Text("“a”\u2028\u2029\u0085–"), r'data: {"message":"“a”\u2028\u2029\u0085–"}' + "\n\n"),
    (Thinking("\u0085Â"), r'data: {"thinking":"\u0085Â","message":""}' + "\n\n"),
    (Thinking("嗯\n"), 'data: {"thinking":"嗯\\n","message":""}\n\n'),
    (
        ToolCalls((CALL,)),
        'data: {"tool_calls":[{"function":{"name":"wetter","arguments":{"ort":"Köln"}}}],"message":""}\n\n',
    ),
    (
        Waiting("upstream_unreachable", 2),
        'data: {"status":"waiting","reason":"upstream_unreachable","attempt":2,"message":""}\n\n',
    ),
    (Resumed(), 'data: {"status":"resumed","message":""}\n\n'),
    (Restarted(), 'data: {"status":"restarted","message":""}\n\n'),
    (
        Reset(Started("s", "r", "m"), 1, "so far"),
        'data: {"status":"reset","session_id":"s","run_id":"r","model":"m","text":"so far","message":""}\n\n',
    ),
    (
        Reset(Started("s", "r", "m", ("x",)), 1, "", "Hm", (CALL,)),
        'data: {"status":"reset","session_id":"s","run_id":"r","model":"m","text":"","message":"","thinking":"Hm",'
        '"tool_calls":[{"function":{"name":"wetter","arguments":{"ort":"Köln"}}}]}\n\n',
    ),
    (
        Ended("s", "r", "stop", Stats(eval_count=290, eval_duration=4709213000)),
        'data: {"done":true,"done_reason":"stop","session_id":"s","run_id":"r",'
        '"stats":{"eval_count":290,"eval_duration":4709213000},"message":""}\n\n',
    ),
    (
        Ended("s", "r", "stop", Stats(context=Context(4100, 4096), context_full=True), is_empty=True),
        'data: {"done":true,"done_reason":"stop","session_id":"s","run_id":"r",'
        '"stats":{"context":{"used":4100,"size":4096},"context_full":true},"message":"","empty":true}\n\n',
    ),
    (
        Ended("s", "r", "error", error=ModelNotFound("model 'x' not found")),
        "event: error\n"
        'data: {"error":{"code":"model_not_found","message":"model \'x\' not found"},"done":true,"done_reason":"error",'
        '"session_id":"s","run_id":"r","stats":{},"message":""}\n\n',
    ),
]


@pytest.mark.parametrize(("event", "text"), BYTES)
def test_an_event_is_exactly_its_bytes(event: Event, text: str) -> None:
    assert sse.encode(event).decode() == text
    assert list(sse.stream("run_1", [event])) == [b"id: run_1:1\n" + text.encode()]


def test_every_kind_of_event_has_its_bytes_here() -> None:
    missing = ({type(event) for event, _ in BYTES} | {events.Ping}) ^ set(Event.__subclasses__())
    assert not missing, "BYTES in this file: each event and its bytes"


@pytest.mark.parametrize(("event", "_text"), BYTES)
def test_every_event_but_the_ping_has_a_message(event: Event, _text: str) -> None:
    assert isinstance(msgspec.to_builtins(sse.data_of(event))["message"], str)


def test_a_ping_is_exactly_its_bytes_and_has_no_number() -> None:
    pieces = list(sse.stream("r", [Text("a"), events.PING, events.PING, Text("b"), Resumed(), Ended("s", "r", "stop")]))
    assert pieces[1] == pieces[2] == b'data: {"ping":"keepalive"}\n\n'
    ids = [item.split(b"\n")[0] for item in pieces if item.startswith(b"id:")]
    assert ids == [b"id: r:1", b"id: r:2", b"id: r:3", b"id: r:4"]
    assert len(pieces) == 6


def test_a_stream_is_one_piece_an_event_and_is_read_back_as_it_was() -> None:
    sent = [event for event, _ in BYTES if not isinstance(event, Ended | Reset)] + [Ended("s", "r", "stop")]
    pieces = list(sse.stream("r", sent))
    assert len(pieces) == len(sent)
    for piece in pieces:
        assert piece.endswith(b"\n\n")
        assert piece.count(b"\n\n") == 1
    found = [item.data for item in parse(b"".join(pieces))]
    assert found == [json.loads(msgspec.json.encode(sse.data_of(event))) for event in sent]


SEPARATED = "春\u2028a\u2029b\u0085"
EVERYWHERE: list[Event] = [
    Started(SEPARATED, "r", SEPARATED, (SEPARATED,)),
    Text(SEPARATED),
    Thinking(SEPARATED),
    ToolCalls(({"function": {"name": SEPARATED, "arguments": {SEPARATED: [SEPARATED]}}},)),
    Waiting(SEPARATED, 2),
    Ended("s", "r", SEPARATED),
    Ended("s", "r", "error", error=UpstreamError(SEPARATED)),
]


@pytest.mark.parametrize("event", EVERYWHERE, ids=lambda event: type(event).__name__)
def test_no_event_has_a_line_end_that_only_some_readers_know(event: Event) -> None:
    """Python's str.splitlines cuts at each of these."""
    sent = b"".join(sse.stream("r", [event])).decode()
    assert sent.splitlines() == sent.split("\n")[:-1]
    data = parse(sent.encode(), is_whole=False)[0].data
    assert SEPARATED in json.dumps(data, ensure_ascii=False)


def test_every_character_comes_back_and_only_three_are_escaped() -> None:
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    data = one_line(every)
    assert json.loads(data) == every
    assert set(data.decode()) == set(every) - set(map(chr, [*range(0x20), 0x85, 0x2028, 0x2029]))


def test_events_leave_as_they_come() -> None:
    asked: list[str] = []

    def come() -> events.Event:
        asked.append("next")
        return Text("a")

    stream = sse.stream("r", (come() for _ in range(3)))
    assert asked == []
    next(stream)
    assert asked == ["next"]


def test_an_error_is_its_code_and_its_words() -> None:
    assert encode_failure(UpstreamError("Ollama's own words, ü")).decode() == (
        '{"error":{"code":"upstream_error","message":"Ollama\'s own words, ü"}}\n'
    )
    assert json.loads(encode_failure(ClawgateError()))["error"]["code"] == "internal"


def test_who_comes_back_counts_on_from_its_place() -> None:
    assert list(sse.stream("r", [Text("a"), events.PING, Text("b")], 7)) == [
        b"retry: 1000\n\n",
        b'id: r:8\ndata: {"message":"a"}\n\n',
        sse.PING,
        b'id: r:9\ndata: {"message":"b"}\n\n',
    ]
    reset = Reset(Started("s", "r", "m"), 40, "so far")
    _, first, second = sse.stream("r", [reset, Text("b")], -1)
    assert first.startswith(b'id: r:40\ndata: {"status":"reset",')
    assert second.startswith(b"id: r:41\n")
