"""Ollama drops the connection in the middle of an answer: the reader sees one answer, nothing twice, nothing lost."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from tests.http.asking import ask, configured, finish, opening, reason, said, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    ScriptedOllama,
    Step,
    chunk,
    done,
    drop,
    end,
    headers,
    line,
    notify,
    raw,
    reset,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.sse import end_of, text_of, thinking_of

pytestmark = configured(stream={"smoothing_ms": 0})

WORDS = "故宫、天坛  \n\n颐和园 \u2028 👩‍👧 end. "
THOUGHT = "嗯, let me think. "
CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}
statuses = ["waiting", "resumed"]


def statuses_of(events: list[dict[str, object]]) -> list[object]:
    """Return the statuses of Ollama's absence that a reader got, in order."""
    return [data["status"] for data in events if "status" in data]


@pytest.mark.parametrize("is_reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("frames", [1, 2, 5, len(WORDS) - 1, len(WORDS)])
def test_a_dropped_answer_is_gone_on_with(gate: Gateway, upstream: ScriptedOllama, frames: int, is_reset: bool) -> None:
    upstream.answer(WORDS, token_size=1, drop_after=[frames], reset=is_reset, interval_s=0.002)
    events = ask(gate, opening("s-drop"))
    assert (text_of(events), reason(events)) == (WORDS, "stop")
    first, second = upstream.chats
    partial = second.messages[-1]["content"] if second.messages[-1]["role"] == "assistant" else ""
    assert first.text_sent.startswith(partial), "byte for byte what came, trailing spaces and all"
    assert second.messages[:1] == first.messages
    if not is_reset:
        assert partial == first.text_sent
        assert statuses_of(said(events)) == statuses
    view = session(gate, "s-drop")["messages"]
    assert view == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": WORDS}]


def test_an_answer_dropped_again_and_again_is_one_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer(WORDS, token_size=1, drop_after=[3, 1, 0, 2, 4, 1])
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == (WORDS, "stop")
    attempts = [data["attempt"] for data in said(events) if data.get("status") == "waiting"]
    assert attempts == [2, 3, 4, 5, 6, 7]


def test_waiting_and_resumed_come_in_their_places(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a "), drop())
    upstream.script(text("b"), done(eval_count=9))
    events = ask(gate, "hi")
    assert said(events) == [
        {"message": "a "},
        {"status": "waiting", "reason": "upstream_unreachable", "attempt": 2, "message": ""},
        {"status": "resumed", "message": ""},
        {"message": "b"},
    ]
    assert end_of(events)["stats"]["eval_count"] == 9


@pytest.mark.parametrize("cut", range(1, len(line(text("光"))), 7))
def test_a_frame_cut_by_the_drop_is_asked_for_again(gate: Gateway, upstream: ScriptedOllama, cut: int) -> None:
    upstream.script(text("春"), chunk(line(text("光"))[:cut]), drop())
    upstream.script(text("光"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("春光", "stop")
    assert upstream.chats[1].messages[-1] == {"role": "assistant", "content": "春"}


def test_a_sized_body_cut_short_is_a_drop(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(content_length=10_000), text("a"), drop())
    upstream.script(text("b"), done())
    assert text_of(ask(gate, "hi")) == "ab"


def test_a_chunk_cut_short_is_a_drop(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), raw(b"ff\r\n{"), drop())
    upstream.script(text("b"), done())
    assert text_of(ask(gate, "hi")) == "ab"


def test_bad_frames_before_and_after_a_drop_are_not_in_a_row(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), chunk(b"x\ny\n"), drop())
    upstream.script(chunk(b"z\n"), text("b"), done())
    assert text_of(ask(gate, "hi")) == "ab"


def test_a_trailing_assistant_message_is_lengthened(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The client's own prefill and the partial text go back as one message."""
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well, "}]
    upstream.script(text("a "), drop())
    upstream.script(text("b"), done())
    events = ask(gate, {"messages": messages, "session_id": "s-prefill"})
    assert text_of(events) == "a b"
    assert upstream.chats[1].messages == [messages[0], {"role": "assistant", "content": "Well, a "}]
    assert session(gate, "s-prefill")["messages"][-1]["content"] == "Well, a b"


def test_thinking_goes_back_with_the_partial_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer(WORDS, token_size=4, thinking=THOUGHT, drop_after=[len(THOUGHT) // 4 + 3])
    events = ask(gate, "hi")
    assert (text_of(events), thinking_of(events), reason(events)) == (WORDS, THOUGHT, "stop")
    assert upstream.chats[1].messages[-1]["thinking"] == THOUGHT
    assert statuses_of(said(events)) == statuses


@pytest.mark.parametrize("drops", [[1], [2, 3], [1, 0, 2]], ids=str)
def test_thinking_that_is_cut_begins_again(gate: Gateway, upstream: ScriptedOllama, drops: list[int]) -> None:
    upstream.answer(WORDS, thinking=THOUGHT, drop_after=drops)
    events = ask(gate, opening("s-thought"))
    assert (text_of(events), thinking_of(events), reason(events)) == (WORDS, THOUGHT, "stop")
    assert "restarted" in statuses_of(said(events))
    assert all(chat.messages == [{"role": "user", "content": "hi"}] for chat in upstream.chats)
    assert session(gate, "s-thought")["messages"][-1]["thinking"] == THOUGHT, "the void thinking is not kept"


def test_limit_of_tokens_holds_for_the_whole_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts("a", "b", "c"), drop())
    upstream.script(text("d"), done("length"))
    ask(gate, {"message": "hi", "options": {"num_predict": 10, "seed": 3}})
    assert upstream.chats[0].json["options"] == {"num_predict": 10, "seed": 3}
    assert upstream.chats[1].json["options"] == {"num_predict": 7, "seed": 3}


@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        ((text('{"a":'),), {"format": "json"}),
        ((text('{"a":'),), {"format": {"type": "object"}}),
        ((text("so"), tool_calls([CALL])), {"tools": [CALL]}),
        ((tool_calls([CALL]),), {"tools": [CALL]}),
    ],
    ids=["format", "schema", "calls after text", "calls"],
)
def test_what_cannot_be_entered_in_the_middle_is_truncated(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], fields: dict[str, Any]
) -> None:
    upstream.script(*steps, drop())
    events = ask(gate, opening("s-cut", **fields))
    assert reason(events) == "truncated"
    assert len(upstream.chats) == 1, "Ollama is not asked again"
    assert session(gate, "s-cut")["messages"][-1]["interrupted"] is True


def test_a_template_that_closes_the_answer_is_truncated(gate: Gateway, upstream: ScriptedOllama) -> None:
    closing = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    upstream.script(text("a"), drop())
    upstream.script(status(200, {"template": closing}), path="/api/show")
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "truncated")


@pytest.mark.parametrize("fields", [{"format": "json"}, {"tools": [CALL]}], ids=["format", "tools"])
def test_they_are_asked_again_where_nothing_was_said(
    gate: Gateway, upstream: ScriptedOllama, fields: dict[str, Any]
) -> None:
    upstream.script(headers(), drop())
    upstream.script(text("{}"), done())
    events = ask(gate, {"message": "hi", **fields})
    assert (text_of(events), reason(events)) == ("{}", "stop")


def test_a_proper_end_without_a_done_frame_is_truncated(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*itertools.repeat("x", 30)), end())
    events = ask(gate, opening("s-end"))
    assert (text_of(events), reason(events)) == ("x" * 30, "truncated")
    assert events[-1].event is None, "no error: what came is there"
    assert len(upstream.chats) == 1
    assert session(gate, "s-end")["messages"][-1]["interrupted"] is True


def test_a_last_frame_without_its_newline_counts(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), chunk(line(done(is_terminated=False)).rstrip()), end())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "stop")


@pytest.mark.parametrize("death", [drop(), reset()], ids=["fin", "rst"])
def test_ollama_killed_behind_the_done_frame_is_a_stop(gate: Gateway, upstream: ScriptedOllama, death: Step) -> None:
    is_sent, go = threading.Event(), threading.Event()
    upstream.script(text("a"), done(is_terminated=False), notify(is_sent), wait(go), death)
    with gate.stream("hi") as stream:
        events = finish(stream)
        go.set()
    assert (text_of(events), reason(events)) == ("a", "stop")
    assert len(upstream.chats) == 1


def test_the_drop_of_an_old_answer_does_not_touch_the_next(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done(is_terminated=False), drop())
    upstream.script(text("b"), done())
    assert reason(ask(gate, opening("s-next"))) == "stop"
    assert len(upstream.chats) == 1, "what was whole is not asked again"
    events = ask(gate, {"message": "and?", "session_id": "s-next"})
    assert (text_of(events), reason(events)) == ("b", "stop")


def test_an_error_after_the_return_ends_the_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), drop())
    upstream.script(status(500, {"error": "no memory"}))
    events = ask(gate, opening("s-worse"))
    assert (text_of(events), reason(events)) == ("a", "upstream_error")
    assert session(gate, "s-worse")["messages"][-1]["content"] == "a"


def test_a_whole_answer_is_asked_for_where_only_headers_came(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(), thinking(""), drop())
    upstream.script(text("a"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "stop")
    assert upstream.chats[0].json == upstream.chats[1].json
