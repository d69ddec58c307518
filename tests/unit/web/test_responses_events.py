"""The events of a response: their bytes, their order and their numbers; a whole answer is the last one's response."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from clawgate.errors import UpstreamRefused, UpstreamStalled
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
from clawgate.web.openai.responses_answers import Response
from clawgate.web.openai.responses_events import EVENTS
from clawgate.web.openai.responses_format import ResponsesFormat
from clawgate.web.openai.responses_tools import Qualified
from clawgate.web.openai.responses_whole import Settings
from tests.support.named import parse

STARTED = Started("sess_1", "run_ab", "m")
CALL = {"id": "call_1", "function": {"name": "wetter", "arguments": {"ort": "Köln"}}}
UNNAMED = {"function": {"name": "f", "arguments": {}}}
STATS = Stats(prompt_eval_count=26, eval_count=290)
FORM = ResponsesFormat(Settings(model="m"), 1_700_000_000, lambda: 1_700_000_009.5)
RESPONSE = {
    "id": "resp_ab",
    "object": "response",
    "created_at": 1_700_000_000,
    "completed_at": None,
    "status": "in_progress",
    "incomplete_details": None,
    "model": "m",
    "previous_response_id": None,
    "instructions": None,
    "output": [],
    "error": None,
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "top_p": None,
    "temperature": None,
    "reasoning": {"effort": None},
    "usage": None,
    "max_output_tokens": None,
    "store": False,
    "background": False,
    "metadata": {},
}
USAGE = {
    "input_tokens": 26,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 290,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 316,
}
FAILED = Ended("sess_1", "run_ab", "error", error=UpstreamStalled("silence"))


def ended(reason: str = "stop", stats: Stats = STATS) -> Ended:
    return Ended("sess_1", "run_ab", reason, stats)


def bytes_of(*told: Event, form: ResponsesFormat = FORM) -> bytes:
    return b"".join(form.stream("run_ab", [STARTED, *told]))


def events_of(*told: Event, form: ResponsesFormat = FORM) -> list[dict[str, Any]]:
    """Return the events of a stream without comments; their numbers count from 0."""
    events = [event for event in parse(bytes_of(*told, form=form)) if event["type"] != "comment"]
    assert [event.pop("sequence_number") for event in events] == list(range(len(events)))
    return events


def text_item(index: int, text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": f"msg_ab_{index}", "status": status, "role": "assistant", "content": [part]}


def test_text_is_these_bytes() -> None:
    begun = json.dumps(RESPONSE, separators=(",", ":"), ensure_ascii=False)
    item = '"item_id":"msg_ab_0","output_index":0,"content_index":0,'
    part = '{"type":"output_text","text":"%s","annotations":[],"logprobs":[]}'
    over = json.dumps(text_item(0, "春🙂"), separators=(",", ":"), ensure_ascii=False)
    completed = {**RESPONSE, "status": "completed", "completed_at": 1_700_000_009, "usage": USAGE}
    completed["output"] = [text_item(0, "春🙂")]
    expected = [
        ("response.created", f'"response":{begun}'),
        ("response.in_progress", f'"response":{begun}'),
        (
            "response.output_item.added",
            '"output_index":0,"item":{"type":"message","id":"msg_ab_0","status":"in_progress","role":"assistant",'
            '"content":[]}',
        ),
        ("response.content_part.added", item + '"part":' + part % ""),
        ("response.output_text.delta", item + '"delta":"春","logprobs":[]'),
        ("response.output_text.delta", item + '"delta":"🙂","logprobs":[]'),
        ("response.output_text.done", item + '"text":"春🙂","logprobs":[]'),
        ("response.content_part.done", item + '"part":' + part % "春🙂"),
        ("response.output_item.done", f'"output_index":0,"item":{over}'),
        ("response.completed", f'"response":{json.dumps(completed, separators=(",", ":"), ensure_ascii=False)}'),
    ]
    wanted = "".join(
        f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},{rest}}}\n\n'
        for number, (kind, rest) in enumerate(expected)
    )
    assert bytes_of(Text("春"), Text("🙂"), ended()).decode() == wanted


def test_thinking_is_an_item_with_a_summary() -> None:
    place = {"item_id": "rs_ab_0", "output_index": 0, "summary_index": 0}
    summary = {"type": "summary_text", "text": "hm"}
    item = {"type": "reasoning", "id": "rs_ab_0", "summary": [summary], "status": "completed"}
    events = events_of(Thinking("h"), Thinking("m"), Text("a"), ended())[2:9]
    assert events == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "reasoning", "id": "rs_ab_0", "summary": [], "status": "in_progress"},
        },
        {
            "type": "response.reasoning_summary_part.added",
            **place,
            "part": {"type": "summary_text", "text": ""},
        },
        {"type": "response.reasoning_summary_text.delta", **place, "delta": "h"},
        {"type": "response.reasoning_summary_text.delta", **place, "delta": "m"},
        {"type": "response.reasoning_summary_text.done", **place, "text": "hm"},
        {"type": "response.reasoning_summary_part.done", **place, "part": summary},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


def test_each_call_is_an_item_whose_arguments_come_whole() -> None:
    call = {"type": "function_call", "id": "fc_ab_1", "call_id": "call_1", "name": "wetter"}
    arguments = '{"ort":"Köln"}'
    events = events_of(Text("a"), ToolCalls((CALL, UNNAMED)), ToolCalls((UNNAMED,)), ended())
    assert events[8:12] == [
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {**call, "status": "in_progress", "arguments": ""},
        },
        {
            "type": "response.function_call_arguments.delta",
            "item_id": "fc_ab_1",
            "output_index": 1,
            "delta": arguments,
        },
        {
            "type": "response.function_call_arguments.done",
            "item_id": "fc_ab_1",
            "output_index": 1,
            "name": "wetter",
            "arguments": arguments,
        },
        {
            "type": "response.output_item.done",
            "output_index": 1,
            "item": {**call, "status": "completed", "arguments": arguments},
        },
    ]
    output = events[-1]["response"]["output"]
    assert [item["id"] for item in output] == ["msg_ab_0", "fc_ab_1", "fc_ab_2", "fc_ab_3"]
    assert [item["call_id"] for item in output[1:]] == ["call_1", "call_ab_1", "call_ab_2"]


def test_a_call_in_a_namespace_is_told_with_both_names() -> None:
    settings = Settings(model="m", qualified={"geo__wetter": Qualified("geo", "wetter")})
    form = ResponsesFormat(settings, 1_700_000_000, lambda: 1_700_000_009.5)
    told = ToolCalls(({"function": {"name": "geo__wetter", "arguments": {}}}, UNNAMED))
    *_, done, last = events_of(told, ended(), form=form)[:6]
    assert done["name"] == "wetter"
    assert (last["item"]["namespace"], last["item"]["name"]) == ("geo", "wetter")
    items = json.loads(form.whole("run_ab", [STARTED, told, ended()]))["output"]
    assert [(item.get("namespace"), item["name"]) for item in items] == [("geo", "wetter"), (None, "f")]
    assert "namespace" not in items[1]


def test_what_has_no_word_here_is_no_event() -> None:
    pieces = list(FORM.stream("run_ab", [STARTED, Waiting("upstream_unreachable", 2), Resumed(), PING, ended()]))
    assert pieces[2:-1] == [b": keepalive\n\n"]
    assert all(pieces), "an empty piece would be the end of a chunked body"


def test_thinking_that_begins_anew_is_an_item_of_its_own() -> None:
    output = events_of(Thinking("void"), Restarted(), Thinking("hm"), ended())[-1]["response"]["output"]
    assert [(item["summary"][0]["text"], item["status"]) for item in output] == [
        ("void", "incomplete"),
        ("hm", "completed"),
    ]


ENDS = [
    ("stop", "completed", None),
    ("length", "incomplete", "max_output_tokens"),
    ("interrupted", "incomplete", "interrupted"),
    ("superseded", "incomplete", "superseded"),
    ("truncated", "incomplete", "truncated"),
]


@pytest.mark.parametrize(("done_reason", "status", "reason"), ENDS)
@pytest.mark.parametrize(
    "told",
    [(), (Text("a"),), (Thinking("hm"), Text("a"), Text("b")), (Text("a"), ToolCalls((CALL,)), Text("b"))],
    ids=["nothing", "text", "thinking", "calls"],
)
def test_the_end_of_a_stream_has_the_whole_answer(
    told: tuple[Event, ...], done_reason: str, status: str, reason: str | None
) -> None:
    last = events_of(*told, ended(done_reason))[-1]
    assert last["type"] == f"response.{status}"
    response = last["response"]
    assert json.loads(FORM.whole("run_ab", [STARTED, *told, ended(done_reason)])) == response
    assert response["incomplete_details"] == (reason and {"reason": reason})
    assert (response["completed_at"] is None) == (status == "incomplete")
    own = done_reason if done_reason in ("interrupted", "superseded", "truncated") else None
    assert response.get("clawgate") == (own and {"done_reason": own})
    statuses = [item["status"] for item in response["output"]]
    assert statuses == ["completed"] * len(statuses[1:]) + [status] * len(statuses[:1])
    assert response["usage"] == USAGE


def test_a_failed_stream_ends_with_its_error() -> None:
    last = events_of(Text("half"), FAILED)[-1]
    assert last["type"] == "response.failed"
    error = {"code": "server_error", "message": "silence", "type": "upstream_stalled"}
    output = [text_item(0, "half", "incomplete")]
    assert last["response"] == {**RESPONSE, "status": "failed", "error": error, "output": output}
    refused = Ended("sess_1", "run_ab", "error", error=UpstreamRefused("bad"))
    assert events_of(refused)[-1]["response"]["error"]["code"] == "invalid_prompt", "nobody asks that again"
    with pytest.raises(UpstreamStalled):
        FORM.whole("run_ab", [STARTED, FAILED])


def test_a_response_says_what_was_asked() -> None:
    given = Settings(
        model="春",
        tool_choice="none",
        format="json_schema",
        effort="low",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=64,
    )
    form = ResponsesFormat(given, 1, lambda: 2)
    asked = {
        "model": "春",
        "tool_choice": "none",
        "text": {"format": {"type": "json_schema"}},
        "reasoning": {"effort": "low"},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 64,
    }
    for event in events_of(ended(), form=form):
        assert asked.items() <= event["response"].items()


def test_a_reader_that_comes_late_gets_a_whole_stream() -> None:
    told = [Thinking("hm"), Text("春光"), ToolCalls((CALL,)), ended()]
    late = FORM.stream("run_ab", [Reset(STARTED, 5, "春光", "hm", (CALL,)), ended()])
    assert b"".join(late) == bytes_of(*told)
    assert b"".join(FORM.stream("run_ab", [Text("光"), ended()], 3)).startswith(b"event: response.created\n")


def test_line_separators_are_escaped_everywhere() -> None:
    data = bytes_of(Text("a\u2028\u0085"), Thinking("\u2029"), ToolCalls((CALL,)), ended()).decode()
    assert not {"\u2028", "\u2029", "\u0085"} & set(data)


def test_every_event_is_described_by_its_type() -> None:
    seen = set()
    for end in (ended(), ended("length"), FAILED):
        for event in parse(bytes_of(Thinking("hm"), Text("a"), ToolCalls((CALL,)), PING, Text("b"), end)):
            if event["type"] != "comment":
                (kind,) = [kind for kind in EVENTS if kind.__struct_config__.tag == event["type"]]
                assert msgspec.convert(event, kind)
                seen.add(kind)
    assert seen == set(EVENTS)
    assert msgspec.json.decode(FORM.whole("run_ab", [STARTED, Text("a"), ended()]), type=Response)
