"""The operator's options for Ollama reach it with every request; a request's own win, name by name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.http.asking import ask, configured, opening, reason
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_STATS, ScriptedOllama, done, drop, text, texts
from tests.support.sse import end_of

OPERATORS = {"num_ctx": 512, "num_predict": 10, "temperature": 0.5, "stop": ["</s>"], "brand_new": True}
pytestmark = configured(model={"options": OPERATORS}, stream={"smoothing_ms": 0})


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, OPERATORS),
        ({}, OPERATORS),
        ({"seed": 7}, {**OPERATORS, "seed": 7}),
        ({"num_ctx": 64, "stop": [], "other": "x"}, {**OPERATORS, "num_ctx": 64, "stop": [], "other": "x"}),
        ({"num_ctx": None, "seed": None}, OPERATORS),
    ],
)
def test_the_operators_options_reach_ollama_and_a_requests_own_win(
    gate: Gateway, upstream: ScriptedOllama, own: dict[str, Any] | None, expected: dict[str, Any]
) -> None:
    body = opening("s-options") if own is None else opening("s-options", options=own)
    assert reason(ask(gate, body)) == "stop"
    assert gate.post("/api/chat", {**body, "stream": False}).status == 200
    assert [request.json["options"] for request in upstream.chats] == [expected] * 2


def test_they_go_along_with_each_follow_up(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-follow", options={"num_ctx": 64}))
    ask(gate, {"message": "and?", "session_id": "s-follow"})
    assert [request.json["options"]["num_ctx"] for request in upstream.chats] == [64, 512]


def test_num_predict_bounds_the_whole_answer_over_a_recovery(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*"abcd"), drop())
    upstream.script(text("efghij"), done("length"))
    assert reason(ask(gate, opening("s-predict"))) == "length"
    assert upstream.chats[1].json["options"] == {**OPERATORS, "num_predict": 6}


def test_their_num_ctx_is_the_size_of_the_context(gate: Gateway, upstream: ScriptedOllama) -> None:
    used = DEFAULT_STATS["prompt_eval_count"] + DEFAULT_STATS["eval_count"]
    assert end_of(ask(gate, opening("s-size")))["stats"]["context"] == {"used": used, "size": 512}
    assert {request.path for request in upstream.requests} == {"/api/chat"}


def test_one_that_is_not_known_is_warned_of_at_the_start(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    assert len(re.findall(r"WARNING .*model\.options: brand_new is not known here; Ollama gets it", gate.log)) == 1


def test_setup_shows_them(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    page = gate.get("/setup", headers={"Accept": "text/html"}).json
    assert "{&#34;num_ctx&#34;: 512, &#34;num_predict&#34;: 10," in page
