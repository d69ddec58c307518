"""`stream.smoothing_ms` at its two ends: 0 sends each fragment as it comes; the other is a window of ten seconds."""

from __future__ import annotations

import threading

from tests.http.asking import configured, finish, interrupt, opening, reason
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, done, hang, text, texts, wait
from tests.support.sse import text_of

OFF = configured(stream={"smoothing_ms": 0})
LONG_S = 10.0
LONG = configured(stream={"smoothing_ms": int(LONG_S * 1000), "stall_seconds": 60})


@OFF
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


@OFF
def test_a_burst_keeps_its_order(gate: Gateway, upstream: ScriptedOllama) -> None:
    words = [f"{index}," for index in range(5000)]
    upstream.script(texts(*words), done())
    with gate.stream("hi") as stream:
        events = finish(stream)
    assert text_of(events) == "".join(words)
    assert reason(events) == "stop"


@LONG
def test_the_first_fragment_does_not_wait_for_the_window(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("first"), hang())
    with gate.stream(opening("s-first")) as stream:
        first = stream.read_text("first")[-1]
        assert first.at - stream.sent_at < LONG_S / 2
        assert interrupt(gate, "s-first")["partial"] == "first"
        end = finish(stream)[-1]
    assert end.at - stream.sent_at < LONG_S / 2, "the window holds up no end that somebody makes"
