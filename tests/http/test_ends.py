"""The ends of answers: odd last frames are understood, an answer without text says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.asking import ask, configured, opening, reason, session
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_STATS, ScriptedOllama, Step, chunk, done, end, hang, text, thinking, tool_calls
from tests.support.sse import end_of, text_of

pytestmark = configured(stream={"smoothing_ms": 0})
CALL = {"function": {"name": "f", "arguments": {}}}

ODD: dict[str, dict[str, Any]] = {
    '"done":true,"load_duration":1%s,"total_duration":-1,"eval_count":3' % ("0" * 400): {"eval_count": 3},
    '"done":true,"done_reason":"stop","total_duration":1.5e9,"eval_count":"12"': {
        "total_duration": 1_500_000_000,
        "eval_count": 12,
    },
    '"done":true,"eval_duration":5043500667.25,"prompt_eval_count":null': {"eval_duration": 5_043_500_667},
    '"done":true,"done_reason":null,"total_duration":"5.04s","eval_count":[]': {},
    '"done":true,"total_duration":NaN,"eval_count":-1,"eval_duration":1e30': {},
    '"done":"true","message":null': {},
    '"done":1,"message":"","done_reason":{}': {},
}


@pytest.mark.parametrize("members", ODD)
def test_a_whole_answer_is_whole_whatever_its_figures_are(
    gate: Gateway, upstream: ScriptedOllama, members: str
) -> None:
    odd = chunk(b"{%b}\n" % members.encode())
    upstream.script(text("a"), odd, end())
    events = ask(gate, opening("s-odd"))
    assert (text_of(events), reason(events), end_of(events)["stats"]) == ("a", "stop", ODD[members])
    assert session(gate, "s-odd")["messages"][-1] == {"role": "assistant", "content": "a"}
    upstream.script(text("a"), odd, end())
    answer = gate.post("/api/chat", opening("s-odd", stream=False)).json
    assert (answer["message"], answer["done_reason"], answer["stats"]) == ("a", "stop", ODD[members])


@pytest.mark.parametrize("error", ['{"message":"no memory","code":500}', '{"error":"no memory"}', '["no memory"]'])
def test_the_words_of_an_error_that_is_an_object_are_told(gate: Gateway, upstream: ScriptedOllama, error: str) -> None:
    upstream.script(text("a"), chunk(b'{"error":%b}\n' % error.encode()), hang())
    ended = end_of(ask(gate, "hi"))
    assert ended["error"]["code"] == "upstream_error"
    assert "no memory" in ended["error"]["message"]
    assert ended["error"]["message"].isprintable()


def test_an_error_without_words_is_none(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A server may write the member into each of its frames."""
    for nothing in (b'""', b"null", b"false"):
        frames = b'{"message":{"content":"%b"},"done":%b,"error":%b}\n'
        upstream.script(chunk(frames % (b"a", b"false", nothing) + frames % (b"b", b"true", nothing)), end())
        events = ask(gate, "hi")
        assert (text_of(events), reason(events)) == ("ab", "stop")


EMPTY: list[tuple[tuple[Step, ...], bool]] = [
    ((done(),), True),
    ((text(""), done()), True),
    ((text(" \n"), done()), True),
    ((thinking("Hm."), done()), True),
    ((text("<think>Hm.</think>\n\n"), done()), True),
    ((text("<think>Hm."), done()), True),
    ((text("a"), done()), False),
    ((text("<thi"), done()), False),
    ((tool_calls([CALL]), done()), False),
    ((done("length"),), False),
    ((thinking("Hm."), end()), False),
]


@pytest.mark.parametrize(("steps", "is_empty"), EMPTY, ids=lambda each: str(each))
def test_an_answer_without_text_says_so(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], is_empty: bool
) -> None:
    upstream.script(*steps)
    assert end_of(ask(gate, opening("s-none"))).get("empty", False) is is_empty
    upstream.script(*steps)
    answer = gate.post("/api/chat", opening("s-none", stream=False)).json
    assert answer.get("empty", False) is is_empty
    assert answer["done"]


def test_an_answer_that_is_gone_on_with_is_not_empty(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done("length"))
    ask(gate, opening("s-more"))
    upstream.script(done())
    ended = end_of(ask(gate, {"continue": True, "session_id": "s-more"}))
    assert (ended["done_reason"], ended["stats"]) == ("stop", DEFAULT_STATS)
    assert "empty" not in ended
