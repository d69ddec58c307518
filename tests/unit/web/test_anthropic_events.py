"""Anthropic's events are exactly these bytes, and a whole answer says the same as the stream."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from clawgate.errors import UpstreamStalled
from clawgate.relay.events import (
    PING,
    Ended,
    Event,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    ToolCalls,
    Waiting,
)
from clawgate.relay.stats import Stats
from clawgate.web.anthropic import answers
from clawgate.web.anthropic.events import stream
from clawgate.web.anthropic.whole import whole

STARTED = Started("sess_1", "run_ab", "m")
CALL = {"id": "call_1", "function": {"name": "wetter", "arguments": {"ort": "Köln"}}}
UNNAMED = {"function": {"name": "f", "arguments": {}}}
STATS = Stats(prompt_eval_count=26, eval_count=290)
BEGINNING = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_ab","type":"message","role":"assistant",'
    '"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
)


def ended(reason: str = "stop", stats: Stats = STATS) -> Ended:
    return Ended("sess_1", "run_ab", reason, stats)


def sent(*told: Event) -> str:
    """Return a stream behind its start."""
    text = b"".join(stream("run_ab", "m", [STARTED, *told])).decode()
    assert text.startswith(BEGINNING)
    return text.removeprefix(BEGINNING)


def event(kind: str, rest: str) -> str:
    return f'event: {kind}\ndata: {{"type":"{kind}"{rest}}}\n\n'


def begun(index: int, block: str) -> str:
    return event("content_block_start", f',"index":{index},"content_block":{block}')


def added(index: int, delta: str) -> str:
    return event("content_block_delta", f',"index":{index},"delta":{delta}')


def closed(index: int) -> str:
    return event("content_block_stop", f',"index":{index}')


def over(reason: str) -> str:
    delta = f',"delta":{{"stop_reason":"{reason}","stop_sequence":null}}'
    usage = ',"usage":{"input_tokens":26,"output_tokens":290}'
    return event("message_delta", delta + usage) + event("message_stop", "")


TEXT, THINKING = '{"type":"text","text":""}', '{"type":"thinking","thinking":"","signature":""}'


def test_text_is_one_block() -> None:
    assert sent(Text("春光 🙂"), Text('"\n\u2028'), ended()) == (
        begun(0, TEXT)
        + added(0, '{"type":"text_delta","text":"春光 🙂"}')
        + added(0, r'{"type":"text_delta","text":"\"\n\u2028"}')
        + closed(0)
        + over("end_turn")
    )


def test_a_block_is_closed_before_another_is_opened() -> None:
    assert sent(Thinking("hm"), Text("a"), Thinking("so"), ended()) == (
        begun(0, THINKING)
        + added(0, '{"type":"thinking_delta","thinking":"hm"}')
        + closed(0)
        + begun(1, TEXT)
        + added(1, '{"type":"text_delta","text":"a"}')
        + closed(1)
        + begun(2, THINKING)
        + added(2, '{"type":"thinking_delta","thinking":"so"}')
        + closed(2)
        + over("end_turn")
    )


def test_each_call_is_a_block_whose_input_comes_as_json() -> None:
    assert sent(Text("a"), ToolCalls((CALL, UNNAMED)), ToolCalls((UNNAMED,)), ended()) == (
        begun(0, TEXT)
        + added(0, '{"type":"text_delta","text":"a"}')
        + closed(0)
        + begun(1, '{"type":"tool_use","id":"call_1","name":"wetter","input":{}}')
        + added(1, r'{"type":"input_json_delta","partial_json":"{\"ort\":\"Köln\"}"}')
        + closed(1)
        + begun(2, '{"type":"tool_use","id":"toolu_ab_1","name":"f","input":{}}')
        + added(2, '{"type":"input_json_delta","partial_json":"{}"}')
        + closed(2)
        + begun(3, '{"type":"tool_use","id":"toolu_ab_2","name":"f","input":{}}')
        + added(3, '{"type":"input_json_delta","partial_json":"{}"}')
        + closed(3)
        + over("tool_use")
    )


def test_thinking_that_begins_anew_is_a_block_of_its_own() -> None:
    assert sent(Thinking("void"), Waiting("upstream_unreachable", 2), Restarted(), Thinking("hm"), ended()) == (
        begun(0, THINKING)
        + added(0, '{"type":"thinking_delta","thinking":"void"}')
        + closed(0)
        + begun(1, THINKING)
        + added(1, '{"type":"thinking_delta","thinking":"hm"}')
        + closed(1)
        + over("end_turn")
    )


def test_what_has_no_word_here_is_no_event() -> None:
    pieces = list(stream("run_ab", "m", [STARTED, Waiting("upstream_unreachable", 2), Resumed(), PING, ended()]))
    assert pieces[1:-1] == [b'event: ping\ndata: {"type":"ping"}\n\n']
    assert all(pieces), "an empty piece would be the end of a chunked body"


ENDS = [
    ("stop", False, "end_turn"),
    ("stop", True, "tool_use"),
    ("length", False, "max_tokens"),
    ("interrupted", False, "end_turn"),
    ("interrupted", True, "end_turn"),
    ("superseded", False, "end_turn"),
    ("truncated", False, "max_tokens"),
]


@pytest.mark.parametrize(("done_reason", "has_calls", "stop_reason"), ENDS)
def test_an_end_has_its_reason_in_both_forms(done_reason: str, has_calls: bool, stop_reason: str) -> None:
    told: list[Event] = [STARTED, *([ToolCalls((CALL,))] if has_calls else [Text("a")]), ended(done_reason)]
    how = {"clawgate": {"done_reason": done_reason}} if done_reason not in ("stop", "length") else {}
    delta, stop = events_of(b"".join(stream("run_ab", "m", told)))[-2:]
    assert delta == {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"input_tokens": 26, "output_tokens": 290},
        **how,
    }
    assert stop == {"type": "message_stop"}
    message = json.loads(whole("run_ab", "m", told))
    assert (message["stop_reason"], message.get("clawgate")) == (stop_reason, how.get("clawgate"))


def events_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.partition(b"\ndata: ")[2]) for event in data.split(b"\n\n")[:-1]]


def test_an_error_is_the_last_event() -> None:
    failed = Ended("sess_1", "run_ab", "error", error=UpstreamStalled("silence"))
    assert sent(Text("a"), failed).split("\n\n")[2:] == [
        'event: error\ndata: {"type":"error","error":{"type":"timeout_error","message":"silence",'
        '"details":{"error_code":"upstream_stalled"}}}',
        "",
    ]
    with pytest.raises(UpstreamStalled):
        whole("run_ab", "m", [STARTED, failed])


def test_a_whole_answer_has_all_blocks() -> None:
    told = [STARTED, Thinking("v"), Restarted(), Thinking("h"), Thinking("m"), Text("a"), ToolCalls((CALL, UNNAMED))]
    assert json.loads(whole("run_ab", "m", [*told, ended()])) == {
        "id": "msg_ab",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "call_1", "name": "wetter", "input": {"ort": "Köln"}},
            {"type": "tool_use", "id": "toolu_ab_1", "name": "f", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 26, "output_tokens": 290},
    }
    silent = json.loads(whole("run_ab", "m", [STARTED, ended("interrupted", Stats())]))
    assert (silent["content"], silent["usage"]) == ([], {"input_tokens": 0, "output_tokens": 0})


def test_a_reader_that_comes_late_gets_a_whole_stream() -> None:
    told = [STARTED, Thinking("hm"), Text("春光"), ToolCalls((CALL,)), ended()]
    late = [Reset(STARTED, 5, "春光", "hm", (CALL,)), ended()]
    assert list(stream("run_ab", "m", late)) == list(stream("run_ab", "m", told))
    behind = b"".join(stream("run_ab", "m", [Text("光"), ended()]))
    assert behind.decode().startswith(BEGINNING), "a reader without the start gets one"


def test_every_event_is_described_by_its_type() -> None:
    failed = Ended("sess_1", "run_ab", "error", error=UpstreamStalled("silence"))
    told = [STARTED, PING, Thinking("hm"), Text("a"), ToolCalls((CALL,))]
    seen = set()
    for end in (ended("interrupted"), failed):
        for event in events_of(b"".join(stream("run_ab", "m", [*told, end]))):
            kinds = [kind for kind in answers.EVENTS if kind.__struct_config__.tag == event["type"]]
            assert msgspec.convert(event, kinds[0])
            seen |= {*kinds}
    assert seen == set(answers.EVENTS)
