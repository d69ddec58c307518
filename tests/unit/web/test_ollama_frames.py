"""Ollama's frames are exactly its bytes: the order of the fields, Go's escapes and moments, the ends, the errors."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec import Raw

from clawgate.errors import ClawgateError, ModelNotAllowed, ModelNotFound, UpstreamError, UpstreamUnreachable
from clawgate.relay import events
from clawgate.relay.events import Ended, Event, Reset, Restarted, Resumed, Started, Text, Thinking, ToolCalls, Waiting
from clawgate.relay.stats import Context, Stats
from clawgate.web.ollama.errors import shape
from clawgate.web.ollama.frames import Frames, chat_frame, generate_frame, rfc3339

MOMENT = 1_735_689_600_120_000_000
HEAD = '{"model":"m","created_at":"2025-01-01T00:00:00.12Z",'
CALL = {"id": "call_1", "function": {"index": 0, "name": "wetter", "arguments": {"ort": "Köln", "a": 1}}}
CALLED = '[{"id":"call_1","function":{"index":0,"name":"wetter","arguments":{"ort":"Köln","a":1}}}]'
STATS = Stats(5, 4, 3, 2, 1, 6, Context(4, 8), context_full=True)
FIGURES = (
    '"total_duration":5,"load_duration":4,"prompt_eval_count":3,"prompt_eval_duration":2,'
    '"eval_count":1,"eval_duration":6'
)
STARTED = Started("s", "r", "m", ("ignored",), 2, 1)
STOP = Ended("s", "r", "stop")

SILENT: list[Event] = [STARTED, Waiting("upstream_unreachable", 2), Resumed(), Restarted()]
CHAT: list[tuple[Event, str]] = [
    (Text("春光 🙂"), '"message":{"role":"assistant","content":"春光 🙂"},"done":false}'),
    (
        Text('<a> & \u2028\u2029\u0085–\x7f \b\f\x1f"\\/'),
        r'"message":{"role":"assistant","content":"\u003ca\u003e \u0026 \u2028\u2029\u0085–'
        + "\x7f"
        + r' \b\f\u001f\"\\/"},"done":false}',
    ),
    (Thinking("嗯\n"), '"message":{"role":"assistant","content":"","thinking":"嗯\\n"},"done":false}'),
    (ToolCalls((CALL,)), f'"message":{{"role":"assistant","content":"","tool_calls":{CALLED}}},"done":false}}'),
    (events.PING, '"message":{"role":"assistant","content":""},"done":false}'),
    (Reset(STARTED, 4, "so far"), '"message":{"role":"assistant","content":"so far"},"done":false}'),
    (
        Ended("s", "r", "stop", STATS, context=Raw(b"[1,2]")),
        f'"message":{{"role":"assistant","content":""}},"done":true,"done_reason":"stop",{FIGURES}}}',
    ),
    (
        Ended("s", "r", "interrupted"),
        '"message":{"role":"assistant","content":""},"done":true,"done_reason":"interrupted"}',
    ),
]
GENERATE: list[tuple[Event, str]] = [
    (Text("春<"), r'"response":"春\u003c","done":false}'),
    (Thinking("嗯"), '"response":"","thinking":"嗯","done":false}'),
    (ToolCalls((CALL,)), f'"response":"","done":false,"tool_calls":{CALLED}}}'),
    (events.PING, '"response":"","done":false}'),
    (
        Ended("s", "r", "length", STATS, context=Raw(b"[1,2]")),
        f'"response":"","done":true,"done_reason":"length","context":[1,2],{FIGURES}}}',
    ),
    (Ended("s", "r", "unload"), '"response":"","done":true,"done_reason":"unload"}'),
]


def frames_of(frame_of: Callable[..., object] = chat_frame) -> Frames:
    """Return the frames of an answer of the model `m`, all of one moment."""
    return Frames(frame_of, "m", lambda: MOMENT)  # type: ignore[arg-type]


@pytest.mark.parametrize(("event", "rest"), CHAT)
def test_a_frame_of_a_chat_is_exactly_its_bytes(event: Event, rest: str) -> None:
    assert b"".join(frames_of().stream("r", [event])).decode() == HEAD + rest + "\n"


@pytest.mark.parametrize(("event", "rest"), GENERATE)
def test_a_frame_of_a_prompt_is_exactly_its_bytes(event: Event, rest: str) -> None:
    assert b"".join(frames_of(generate_frame).stream("r", [event])).decode() == HEAD + rest + "\n"


def test_every_kind_of_event_has_its_bytes_here_or_makes_no_frame() -> None:
    assert list(frames_of().stream("r", SILENT, 3)) == []
    assert {type(event) for event, _ in CHAT} | {type(event) for event in SILENT} == set(events.Event.__subclasses__())


def test_each_frame_is_one_piece_and_one_line_to_python() -> None:
    frames = list(frames_of().stream("r", [Text("a\r\nb\u2028\u2029\u0085\x0b\x1c"), events.PING, STOP]))
    assert [len(frame.decode().splitlines()) for frame in frames] == [1, 1, 1]
    assert all(frame.endswith(b"}\n") for frame in frames)


@pytest.mark.parametrize("frame_of", [chat_frame, generate_frame])
def test_an_error_is_a_line_in_ollamas_words(frame_of: Callable[..., object]) -> None:
    error = UpstreamError("Ollama answered with status 500: no <memory>").said_by_ollama("no <memory>", 500)
    lines = list(frames_of(frame_of).stream("r", [STARTED, Text("a"), Ended("s", "r", "error", error=error)]))
    assert lines[1:] == [rb'{"error":"no \u003cmemory\u003e"}' + b"\n"]


def test_a_whole_answer_is_one_frame_without_a_line_end() -> None:
    said = [Thinking("void"), Restarted(), Thinking("H"), Thinking("m"), Text("春"), ToolCalls((CALL,)), Text("光")]
    end = Ended("s", "r", "stop", STATS, context=Raw(b"[1]"))
    assert frames_of().whole("r", [STARTED, *said, events.PING, end]).decode() == (
        f'{HEAD}"message":{{"role":"assistant","content":"春光","thinking":"Hm","tool_calls":{CALLED}}},'
        f'"done":true,"done_reason":"stop",{FIGURES}}}'
    )
    assert frames_of(generate_frame).whole("r", [STARTED, *said, end]).decode() == (
        f'{HEAD}"response":"春光","thinking":"Hm","done":true,"done_reason":"stop","context":[1],{FIGURES},'
        f'"tool_calls":{CALLED}}}'
    )


def test_a_whole_answer_that_is_read_on_has_nothing_twice() -> None:
    said = [Text("春"), ToolCalls((CALL,)), Reset(STARTED, 4, "春光", "Hm", (CALL,)), Text("!"), STOP]
    frame = json.loads(frames_of().whole("r", said))
    assert frame["message"] == {"role": "assistant", "content": "春光!", "thinking": "Hm", "tool_calls": [CALL]}
    pieces = [json.loads(line)["message"] for line in frames_of().stream("r", said)]
    assert [piece["content"] for piece in pieces] == ["春", "", "", "光", "!", ""]


def test_a_whole_answer_that_failed_is_its_error() -> None:
    with pytest.raises(ModelNotFound, match="gone"):
        frames_of().whole("r", [STARTED, Text("a"), Ended("s", "r", "error", error=ModelNotFound("gone"))])


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (MOMENT, "2025-01-01T00:00:00.12Z"),
        (1_735_689_600_000_000_007, "2025-01-01T00:00:00.000000007Z"),
        (1_735_689_610_000_000_000, "2025-01-01T00:00:10Z"),
    ],
)
def test_a_moment_is_written_as_go_writes_it(ns: int, text: str) -> None:
    assert rfc3339(ns) == text


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (ModelNotFound("model 'x' not found").said_by_ollama("model 'x' not found", 404), 404, "model 'x' not found"),
        (UpstreamError("it said: no").said_by_ollama("no"), 502, "no"),
        (UpstreamUnreachable("Ollama is away"), 502, "Ollama is away"),
        (ModelNotAllowed("model: expected one of m"), 403, "model: expected one of m"),
    ],
)
def test_an_error_has_ollamas_status_and_words_where_it_said_some(error: ClawgateError, status: int, body: str) -> None:
    assert shape(error) == (status, json.dumps({"error": body}, separators=(",", ":")).encode())
