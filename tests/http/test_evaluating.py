"""A prompt that was given up is evaluated to its end, and the next answer says that it waits for that."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import is_loaded
from clawgate.relay.diagnosis import LOOKS_AGAIN_S, MAX_LOOKING
from tests.http.asking import ask, configured, finish, interrupt, opening, reason, said, start
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama, Step, done, hang, status, text, wait
from tests.support.sse import text_of
from tests.support.tools import DEADLINE_S, wait_for

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


@configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 3600})
def test_the_words_come_by_themselves_and_not_with_the_next_heartbeat(gate: Gateway, upstream: ScriptedOllama) -> None:
    give_up(gate, upstream)
    is_read = threading.Event()
    upstream.script(wait(is_read), text("春"), done())
    with gate.stream({"message": "and?", "session_id": "s-up"}) as stream:
        stream.read_until(lambda event: event.data == EVALUATING)
        is_read.set()
        finish(stream)


@BEATING
def test_answers_that_wait_for_a_hanging_ollama_do_not_all_ask_it(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Each question takes a thread and a descriptor for 5 s, also when its answer is given up and its slot is free."""
    give_up(gate, upstream)
    assert upstream.chats[-1].closed.wait(DEADLINE_S)
    upstream.default(hang())
    count = 3 * MAX_LOOKING
    for _ in range(count):
        upstream.script(hang(), path="/api/ps")
    with ExitStack() as leaving:
        for _ in range(count):
            start(leaving.enter_context(gate.stream("and?")))
        wait_for(lambda: looks_of(upstream) >= MAX_LOOKING, "some have asked")
        time.sleep(1.5 * LOOKS_AGAIN_S)
        assert looks_of(upstream) == MAX_LOOKING


def looks_of(upstream: ScriptedOllama) -> int:
    """The number of questions which models are loaded."""
    return [request.path for request in upstream.requests].count("/api/ps")


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
