"""A prompt that was given up is evaluated to its end, and the next answer says that it waits for that."""

from __future__ import annotations

import threading

import pytest

from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import is_loaded
from tests.http.asking import ask, configured, finish, interrupt, opening, reason, said, start
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama, Step, done, hang, status, text, wait
from tests.support.sse import text_of

BEATING = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 0.2})
EVALUATING = {"status": "waiting", "reason": "evaluating", "attempt": 1, "message": ""}


def give_up(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Interrupt an answer that has not begun."""
    upstream.script(hang())
    with gate.stream(opening("s-up")) as stream:
        upstream.next_request()
        assert interrupt(gate, "s-up")["partial"] == ""
        finish(stream)


@BEATING
def test_the_next_answer_says_what_it_waits_for(gate: Gateway, upstream: ScriptedOllama) -> None:
    give_up(gate, upstream)
    is_read = threading.Event()
    upstream.script(wait(is_read), text("春"), done())
    with gate.stream({"message": "and?", "session_id": "s-up"}) as stream:
        start(stream)
        stream.read_until(lambda event: event.is_ping)
        stream.read_until(lambda event: event.data == EVALUATING)
        stream.read_until(lambda event: event.is_ping)
        is_read.set()
        events = finish(stream)
    assert (said(events), reason(events)) == ([EVALUATING, {"message": "春"}], "stop")
    assert text_of(ask(gate, opening("s-after"))) == "Hello.", "and the one after that has nothing to wait for"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), True),
        ((status(200, {"models": []}),), False),
        ((status(500, {"error": "no"}),), False),
        ((status(200, b"<html>"),), False),
    ],
    ids=["loaded", "not loaded", "error", "not Ollama"],
)
def test_only_what_ollama_says_is_loaded_is_busy(
    ollama: ScriptedOllama, steps: tuple[Step, ...], expected: bool
) -> None:
    ollama.loaded.append(DEFAULT_MODEL)
    for step in steps:
        ollama.script(step, path="/api/ps")
    assert is_loaded(OllamaClient(ollama.base_url), DEFAULT_MODEL) is expected


def test_a_model_that_is_still_being_loaded_is_not_busy(ollama: ScriptedOllama) -> None:
    ollama.loaded.append(DEFAULT_MODEL)
    ollama.is_loading = True
    assert not is_loaded(OllamaClient(ollama.base_url), DEFAULT_MODEL)
