"""The end of an answer tells how full the context window is."""

from __future__ import annotations

from typing import Any

from tests.http.asking import ask, configured, opening
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_STATS, ScriptedOllama, done, text
from tests.support.sse import end_of
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "retry_seconds": 0})
SECOND = 1_000_000_000
USED = DEFAULT_STATS["prompt_eval_count"] + DEFAULT_STATS["eval_count"]


def context_of(ended: dict[str, Any]) -> Any:
    """The context in the figures of an end."""
    return ended["stats"].get("context")


def psed(upstream: ScriptedOllama) -> int:
    """How often /api/ps was asked."""
    return len([request for request in upstream.requests if request.path == "/api/ps"])


def test_ollama_is_asked_once_for_many_answers(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.context_length = 4096
    upstream.default(text("a"), done())
    told = wait_for(lambda: context_of(end_of(ask(gate, "hi"))), "Ollama has told the size")
    assert told == {"used": USED, "size": 4096}
    assert all(context_of(end_of(ask(gate, "hi"))) == told for _ in range(5))
    assert psed(upstream) == 1
    upstream.script(text("a"), done(load_duration=SECOND))
    assert context_of(end_of(ask(gate, "hi"))) is None, "the model was loaded since, perhaps with another size"


def test_a_size_in_the_request_is_told_where_ollama_tells_none(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done())
    ended = end_of(ask(gate, opening("s-size", options={"num_ctx": 8192})))
    assert ended["stats"] == {**DEFAULT_STATS, "context": {"used": USED, "size": 8192}}
    upstream.script(text("a"), done(prompt_eval_count=64))
    answer = gate.post("/api/chat", opening("s-size", options={"num_ctx": 64}, stream=False)).json
    assert answer["stats"]["context"] == {"used": 64 + 290, "size": 64}
    assert answer["stats"]["context_full"] is True
    wait_for(lambda: "context=354/64" in gate.log, "the log has it")
