"""The bytes of OpenAI's chat completions: every kind of event, every end, streamed and whole."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from clawgate.errors import ClawgateError, ModelNotFound, UpstreamStalled
from clawgate.relay import events
from clawgate.relay.stats import Stats
from clawgate.web.openai.answers import ChatCompletion, CompletionChunk
from clawgate.web.openai.completions import DONE, PING, CompletionFormat, calls_of
from clawgate.web.openai.errors import OpenAIFailed

RUN = "run_" + "0a1b2c3d" * 4
STARTED = events.Started("s", RUN, "m")
TOKENS = Stats(prompt_eval_count=26, eval_count=290)
WEATHER = {"id": "call_own", "function": {"name": "weather", "arguments": {"city": "北京"}}}
TIME = {"function": {"name": "time", "arguments": {}}}
PLAIN = CompletionFormat('qwen3"32b', 1_700_000_000)
WITH_USAGE = PLAIN._replace(includes_usage=True)
HEAD = (
    '{"id":"chatcmpl-0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d","object":"chat.completion.chunk","created":1700000000,'
    '"model":"qwen3\\"32b","system_fingerprint":"fp_ollama","choices":'
)


def ended(reason: str = "stop", error: ClawgateError | None = None, stats: Stats = TOKENS) -> events.Ended:
    """Return an end."""
    return events.Ended("s", RUN, reason, stats, error)


def streamed(*told: events.Event, wire: CompletionFormat = PLAIN) -> list[bytes]:
    """Return the pieces of a stream."""
    return list(wire.stream(RUN, told))


def chunks(*told: events.Event, wire: CompletionFormat = PLAIN) -> list[dict[str, Any]]:
    """Return the data of a stream that ends properly, each of the described type."""
    data = b"".join(streamed(*told, wire=wire))
    assert data.endswith(DONE)
    lines = [line for line in data.removesuffix(DONE).split(b"\n\n") if line and not line.startswith(b":")]
    for line in lines:
        assert line.startswith(b"data: {")
        assert b"\n" not in line
        kind = OpenAIFailed if line.startswith(b'data: {"error"') else CompletionChunk
        msgspec.json.decode(line.removeprefix(b"data: "), type=kind)
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def deltas(*told: events.Event) -> list[dict[str, Any]]:
    """Return what the chunks add to the message."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(*told)]


def test_the_bytes_of_a_stream() -> None:
    told = (STARTED, events.Thinking("hm"), events.Text("春\u2028光"), events.PING, events.Text('"}'), ended())
    choice = '[{"index":0,"delta":%s,"finish_reason":%s}]}\n\n'
    assert b"".join(streamed(*told)).decode() == "".join(
        (
            f"data: {HEAD}" + choice % ('{"role":"assistant","content":""}', "null"),
            f"data: {HEAD}" + choice % ('{"reasoning":"hm"}', "null"),
            f"data: {HEAD}" + choice % ('{"content":"春\\u2028光"}', "null"),
            ": keepalive\n\n",
            f"data: {HEAD}" + choice % ('{"content":"\\"}"}', "null"),
            f"data: {HEAD}" + choice % ("{}", '"stop"'),
            "data: [DONE]\n\n",
        )
    )


def test_the_end_comes_in_one_piece() -> None:
    *_, last = streamed(STARTED, events.Text("a"), ended(), wire=WITH_USAGE)
    assert last.count(b"data: ") == 3
    assert last.endswith(DONE)


def test_usage_comes_in_a_chunk_of_its_own_where_it_was_asked_for() -> None:
    *rest, last = chunks(STARTED, events.Text("a"), ended(), wire=WITH_USAGE)
    assert [chunk["usage"] for chunk in rest] == [None, None, None]
    assert rest[-1]["choices"][0]["finish_reason"] == "stop"
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 26, "completion_tokens": 290, "total_tokens": 316}
    assert {chunk["id"] for chunk in (*rest, last)} == {"chatcmpl-" + "0a1b2c3d" * 4}
    assert not [chunk for chunk in chunks(STARTED, ended()) if "usage" in chunk]


def test_usage_is_nought_where_ollama_did_not_say() -> None:
    *_, last = chunks(STARTED, ended("interrupted", stats=Stats()), wire=WITH_USAGE)
    assert last["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_calls_of_tools_are_numbered_and_each_has_an_id() -> None:
    told = (STARTED, events.ToolCalls((WEATHER, TIME)), events.ToolCalls((TIME,)), ended())
    first, second = [delta["tool_calls"] for delta in deltas(*told) if "tool_calls" in delta]
    function = {"name": "weather", "arguments": '{"city":"北京"}'}
    assert first[0] == {"index": 0, "id": "call_own", "type": "function", "function": function}
    assert [(call["index"], call["function"]) for call in (*first[1:], *second)] == [
        (1, {"name": "time", "arguments": "{}"}),
        (2, {"name": "time", "arguments": "{}"}),
    ]
    ids = [call["id"] for call in (*first, *second)]
    assert ids == ["call_own", "call_0a1b2c3d0a1b2c3d0a1b2c3d_1", "call_0a1b2c3d0a1b2c3d0a1b2c3d_2"]
    assert all(len(each) <= 40 for each in ids), "OpenAI takes no longer one"
    assert chunks(*told)[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_ids_of_calls_are_of_the_part_of_a_runs_id_that_is_random() -> None:
    """What comes first in it may be that of its process, which all its runs share."""
    process, random = "0123456789abcdef", "f" * 32
    asked = events.ToolCalls(({"function": {"name": "weather", "arguments": {}}},))
    [call] = calls_of(f"run_{process}{random}", asked, 0)
    assert call.id == f"call_{random[:24]}_0"


@pytest.mark.parametrize("call", [{}, {"function": None}, {"id": 5, "function": {"name": 5, "arguments": [1]}}])
def test_a_call_that_is_none_of_ollamas_is_still_one(call: dict[str, Any]) -> None:
    (found,) = deltas(STARTED, events.ToolCalls((call,)), ended())[1]["tool_calls"]
    assert found == {
        "index": 0,
        "id": "call_0a1b2c3d0a1b2c3d0a1b2c3d_0",
        "type": "function",
        "function": {"name": "", "arguments": "{}"},
    }


ENDS = [
    ("stop", "stop", None),
    ("length", "length", None),
    ("interrupted", "stop", "interrupted"),
    ("superseded", "stop", "superseded"),
    ("truncated", "length", "truncated"),
]


@pytest.mark.parametrize(("done_reason", "finish_reason", "extension"), ENDS)
@pytest.mark.parametrize("wire", [PLAIN, WITH_USAGE], ids=["plain", "usage"])
def test_each_end_has_its_reason(
    done_reason: str, finish_reason: str, extension: str | None, wire: CompletionFormat
) -> None:
    told = (STARTED, events.Text("a"), ended(done_reason))
    found = chunks(*told, wire=wire)
    finish = found[-2] if wire.includes_usage else found[-1]
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": finish_reason}]
    wanted = None if extension is None else {"done_reason": extension}
    assert finish.get("clawgate") == wanted
    assert sum("clawgate" in chunk for chunk in found) == (extension is not None)
    whole = json.loads(wire.whole(RUN, told))
    assert (whole["choices"][0]["finish_reason"], whole.get("clawgate")) == (finish_reason, wanted)


def test_an_error_in_the_middle_is_the_last_thing_before_done() -> None:
    told = (STARTED, events.Text("a"), ended("error", UpstreamStalled("silence for 5 s")))
    for wire in (PLAIN, WITH_USAGE):
        assert chunks(*told, wire=wire)[-1] == {
            "error": {
                "message": "silence for 5 s",
                "type": "server_error",
                "param": None,
                "code": "upstream_stalled",
            }
        }
        assert streamed(*told, wire=wire)[-1].endswith(b"}}\n\n" + DONE)


def test_what_only_our_own_clients_understand_is_left_out() -> None:
    told = (STARTED, events.Waiting("upstream_unreachable", 2), events.Resumed(), events.Restarted())
    assert len(streamed(*told)) == 1


def test_a_reader_that_comes_late_gets_all_so_far() -> None:
    reset = events.Reset(STARTED, 9, "春", "hm", (TIME,))
    assert deltas(reset, events.Text("光"), ended())[:-1] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "hm"},
        {"content": "春"},
        {"tool_calls": deltas(STARTED, events.ToolCalls((TIME,)), ended())[1]["tool_calls"]},
        {"content": "光"},
    ]
    assert json.loads(PLAIN.whole(RUN, [reset, ended()]))["choices"][0]["message"]["content"] == "春"


def test_the_bytes_of_a_whole_answer() -> None:
    told = (
        STARTED,
        events.Thinking("h"),
        events.Thinking("m"),
        events.Text("春"),
        events.PING,
        events.Text("光"),
        ended(),
    )
    data = PLAIN.whole(RUN, told)
    assert data.decode() == (
        HEAD.replace("chat.completion.chunk", "chat.completion")
        + '[{"index":0,"message":{"role":"assistant","content":"春光","reasoning":"hm"},"finish_reason":"stop"}],'
        + '"usage":{"prompt_tokens":26,"completion_tokens":290,"total_tokens":316}}\n'
    )
    msgspec.json.decode(data, type=ChatCompletion)


def test_a_whole_answer_has_its_calls_and_no_content_where_nothing_was_said() -> None:
    message = json.loads(PLAIN.whole(RUN, (STARTED, events.ToolCalls((WEATHER, TIME)), ended())))["choices"][0][
        "message"
    ]
    assert message["content"] is None
    assert message["tool_calls"][1] == {
        "id": "call_0a1b2c3d0a1b2c3d0a1b2c3d_1",
        "type": "function",
        "function": {"name": "time", "arguments": "{}"},
    }
    said = (STARTED, events.Text("a"), events.ToolCalls((TIME,)), ended())
    assert json.loads(PLAIN.whole(RUN, said))["choices"][0]["message"]["content"] == "a"
    assert json.loads(PLAIN.whole(RUN, (STARTED, ended())))["choices"][0]["message"]["content"] == ""


def test_thinking_that_began_anew_is_whole_once() -> None:
    told = (STARTED, events.Thinking("old"), events.Restarted(), events.Thinking("new"), ended())
    assert json.loads(PLAIN.whole(RUN, told))["choices"][0]["message"]["reasoning"] == "new"


def test_a_whole_answer_raises_the_error_that_ended_it() -> None:
    error = ModelNotFound("model 'm' not found")
    with pytest.raises(ModelNotFound) as caught:
        PLAIN.whole(RUN, (STARTED, events.Text("a"), ended("error", error)))
    assert caught.value is not error, "a kept error is raised anew"


def test_the_heartbeat_is_a_comment() -> None:
    assert streamed(STARTED, events.PING)[1] == PING == b": keepalive\n\n"
