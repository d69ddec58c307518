"""Ollama loses the process that runs the model: it starts another for the next request, so the answer goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.asking import ask, configured, finish, interrupt, opening, reason, said, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    ScriptedOllama,
    Step,
    batch,
    chunk,
    done,
    drop,
    end,
    error_line,
    line,
    status,
    text,
    thinking,
    tool_calls,
)
from tests.support.sse import end_of, text_of, thinking_of

pytestmark = configured(stream={"smoothing_ms": 0, "retry_seconds": 20})

WORDS = "an error was encountered while running the model: unexpected EOF"
KILLED = error_line(WORDS)
DEAD = status(500, {"error": "llama runner process no longer running: -1 "})
USER = {"role": "user", "content": "hi"}
CALL = {"function": {"name": "weather", "arguments": {}}}
WAITING = {"status": "waiting", "reason": "upstream_error", "attempt": 2, "message": ""}
RESUMED = {"status": "resumed", "message": ""}


def test_an_answer_goes_on_from_its_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("春 "), KILLED)
    upstream.script(text("光"), done())
    events = ask(gate, opening("s-killed"))
    assert said(events) == [{"message": "春 "}, WAITING, RESUMED, {"message": "光"}]
    assert reason(events) == "stop"
    assert upstream.chats[1].messages == [USER, {"role": "assistant", "content": "春 "}]
    assert session(gate, "s-killed")["messages"] == [USER, {"role": "assistant", "content": "春 光"}]


def test_the_error_may_come_with_the_text_before_it_or_without_a_line_end(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    upstream.script(batch(text("a"), KILLED))
    upstream.script(text("b"), chunk(line(KILLED).rstrip()), end())
    upstream.script(text("c"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("abc", "stop")


@pytest.mark.parametrize(
    "first",
    [
        DEAD,
        status(500, {"error": "llama runner process has terminated: signal: killed"}),
        status(500, {"error": "llama runner process has terminated with exit code 2"}),
        KILLED,
    ],
    ids=["no longer running", "signal", "exit code", "frame"],
)
def test_an_answer_that_has_not_begun_is_asked_for_again(gate: Gateway, upstream: ScriptedOllama, first: Step) -> None:
    upstream.script(first)
    upstream.script(text("a"), done())
    events = ask(gate, opening("s-begin"))
    assert said(events)[0] == WAITING
    assert (text_of(events), reason(events)) == ("a", "stop")
    assert upstream.chats[0].json == upstream.chats[1].json


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_runner_that_dies_a_third_time_at_one_place_ends_the_answer(
    gate: Gateway, upstream: ScriptedOllama, is_begun: bool
) -> None:
    upstream.script(*[text("a")] * is_begun, KILLED)
    upstream.script(DEAD)
    upstream.script(KILLED)
    events = ask(gate, opening("s-third"))
    assert (text_of(events), reason(events)) == ("a" * is_begun, "upstream_error")
    assert end_of(events)["error"]["message"] == WORDS
    assert [data["attempt"] for data in said(events) if data.get("status") == "waiting"] == [2, 3]
    assert len(upstream.chats) == 3
    assert session(gate, "s-third")["messages"][0] == USER, "it is no refusal"


def test_new_text_is_a_new_place(gate: Gateway, upstream: ScriptedOllama) -> None:
    for words in "abcd":
        upstream.script(text(words), KILLED)
        upstream.script(DEAD)
    upstream.script(done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("abcd", "stop")


def test_thinking_is_no_new_place_because_it_begins_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    for _ in range(3):
        upstream.script(thinking("hm"), KILLED)
    events = ask(gate, "hi")
    assert (thinking_of(events), reason(events)) == ("hm", "upstream_error")
    assert [data["status"] for data in said(events) if "status" in data] == ["waiting", "restarted"] * 2
    assert len(upstream.chats) == 3


@pytest.mark.parametrize(
    ("steps", "fields"),
    [
        ((text('{"a":'),), {"format": "json"}),
        ((text("so"), tool_calls([CALL])), {"tools": [CALL]}),
    ],
    ids=["format", "calls"],
)
def test_what_cannot_be_entered_in_the_middle_is_truncated(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], fields: dict[str, Any]
) -> None:
    upstream.script(*steps, KILLED)
    assert reason(ask(gate, {"message": "hi", **fields})) == "truncated"
    assert len(upstream.chats) == 1


def test_a_template_that_closes_the_answer_is_truncated(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), KILLED)
    upstream.script(
        status(200, {"template": "{{ range .Messages }}{{ .Content }}<|im_end|>{{ end }}"}), path="/api/show"
    )
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "truncated")


@pytest.mark.parametrize(
    "words", ["CUDA error: out of memory", "llama runner process has terminated: error loading model"]
)
def test_an_error_of_the_model_itself_is_passed_on_at_once(gate: Gateway, upstream: ScriptedOllama, words: str) -> None:
    upstream.script(text("a"), error_line(words))
    events = ask(gate, "hi")
    assert (reason(events), end_of(events)["error"]["message"]) == ("upstream_error", words)
    assert len(upstream.chats) == 1


def test_the_wait_can_be_interrupted(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), KILLED)
    upstream.script(DEAD)
    with gate.stream(opening("s-wait")) as stream:
        stream.read_until(lambda event: event.data.get("status") == "waiting")
        assert interrupt(gate, "s-wait")["partial"] == "a"
        assert reason(finish(stream)) == "interrupted"


def test_going_on_after_a_drop_may_be_refused(gate: Gateway, upstream: ScriptedOllama) -> None:
    """It is no refusal of the question, which the model was answering."""
    upstream.script(text("a"), drop())
    upstream.script(status(400, {"error": "no"}))
    events = ask(gate, opening("s-drop"))
    assert (text_of(events), reason(events)) == ("a", "upstream_refused")
    assert session(gate, "s-drop")["messages"] == [
        USER,
        {"role": "assistant", "content": "a", "interrupted": True},
    ]


def test_a_question_may_be_refused_once_ollama_is_back(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(DEAD)
    upstream.script(status(400, {"error": "no"}))
    assert reason(ask(gate, opening("s-back"))) == "upstream_refused"
    assert session(gate, "s-back")["messages"] == [{**USER, "refused": True}]
