"""`stream.smoothing_ms: 0`: each fragment leaves when it comes."""

from __future__ import annotations

import threading

from tests.http.asking import configured, finish, reason
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, done, text, texts, wait
from tests.support.sse import text_of

pytestmark = configured(stream={"smoothing_ms": 0})


def test_each_fragment_leaves_before_the_next_comes(gate: Gateway, upstream: ScriptedOllama) -> None:
    turns = [threading.Event() for _ in range(20)]
    steps: list[Step] = []
    for index, turn in enumerate(turns):
        steps += [text(f"{index} "), wait(turn)]
    upstream.script(*steps, done())
    with gate.stream("hi") as stream:
        for index, turn in enumerate(turns):
            stream.read_text(f"{index} ")
            turn.set()
        events = finish(stream)
    assert len([event for event in events if event.is_text]) == len(turns)


def test_a_burst_keeps_its_order(gate: Gateway, upstream: ScriptedOllama) -> None:
    words = [f"{index}," for index in range(5000)]
    upstream.script(texts(*words), done())
    with gate.stream("hi") as stream:
        events = finish(stream)
    assert text_of(events) == "".join(words)
    assert reason(events) == "stop"
