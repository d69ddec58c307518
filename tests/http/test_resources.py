"""Everything is given back after every kind of end: threads, fds, sockets, slots, connections to Ollama."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.http.asking import configured, finish, interrupt, opening, reason, start, streams_of
from tests.support.gateway import Gateway
from tests.support.ollama import (
    Answer,
    ScriptedOllama,
    Step,
    call,
    chunk,
    done,
    drop,
    end,
    error_line,
    hang,
    headers,
    reset,
    status,
    text,
    thinking,
    tool_calls,
)
from tests.support.tools import require_procfs, wait_for

MAX_STREAMS = 30

pytestmark = configured(
    stream={"stall_seconds": 0.3, "retry_seconds": 0.3, "smoothing_ms": 10},
    server={"max_streams": MAX_STREAMS},
    session={"max_sessions": 20},
)

ANSWERS = 200
PARALLEL = 10
SCRIPTS: dict[str, tuple[Step, ...]] = {
    "stop": (text("a"), done()),
    "length": (thinking("Hm"), text("a"), done("length")),
    "truncated": (text("a"), end()),
    "calls": (tool_calls([{"function": {"name": "f", "arguments": {}}}]), drop()),
    "drop": (text("a"), drop()),
    "reset": (text("a"), reset()),
    "gone": (drop(),),
    "unavailable": (status(503, {"error": "busy"}),),
    "error": (status(500, {"error": "no memory"}),),
    "missing": (status(404, {"error": "model 'x' not found"}),),
    "error line": (text("a"), error_line("no memory")),
    "bad": (text("a"), chunk(b"x\n" * 3), hang()),
    "stall": (text("a"), hang()),
    "silent": (hang(),),
    "headers": (headers(), hang()),
}


def play(answer: Answer) -> None:
    """Play the script that the last message asks for; a request that continues a partial text gets the rest."""
    last = answer.request.messages[-1]
    name = last["content"] if last["role"] == "user" else "stop"
    for step in SCRIPTS.get(name, SCRIPTS["stop"]):
        step.play(answer)


def read(gate: Gateway, name: str, number: int) -> None:
    with gate.stream(opening(f"s-{number}", name)) as stream:
        finish(stream)


def read_whole(gate: Gateway, name: str, number: int) -> None:
    gate.post("/api/chat", opening(f"s-{number}", name, stream=False))


def leave(gate: Gateway, name: str, number: int) -> None:
    with gate.stream(opening(f"s-{number}", name)) as stream:
        start(stream)


def reset_connection(gate: Gateway, name: str, number: int) -> None:
    gate.stream(opening(f"s-{number}", name)).reset()


def cut_in(gate: Gateway, name: str, number: int) -> None:
    with gate.stream(opening(f"s-{number}", name)) as stream:
        start(stream)
        interrupt(gate, f"s-{number}")
        finish(stream)


def supersede(gate: Gateway, name: str, number: int) -> None:
    with gate.stream(opening(f"s-{number}", name)) as old:
        start(old)
        with gate.stream(opening(f"s-{number}", "stop")) as new:
            assert reason(finish(new)) == "stop"
        finish(old)


def forget(gate: Gateway, name: str, number: int) -> None:
    with gate.stream(opening(f"s-{number}", name)) as stream:
        start(stream)
        gate.delete(f"/api/sessions/s-{number}")
        finish(stream)


def be_refused(gate: Gateway, name: str, number: int) -> None:
    assert gate.post("/api/chat", {"message": name, "session_id": f"nobody-{number}"}).status == 404


ENDS: list[Callable[[Gateway, str, int], None]] = [
    read,
    read_whole,
    leave,
    reset_connection,
    cut_in,
    supersede,
    forget,
    be_refused,
]
WAITS = {"silent", "headers"}
"""These answers end only where somebody ends them."""


@pytest.mark.deadline(120)
def test_random_ends_leave_nothing_behind(gate: Gateway, upstream: ScriptedOllama) -> None:
    require_procfs()
    upstream.default(call(play))
    chance = random.Random(7)
    plan = []
    for number in range(ANSWERS):
        act = chance.choice(ENDS)
        names = [name for name in SCRIPTS if not (act in (read, read_whole) and name in WAITS)]
        plan.append((act, chance.choice(names), number))
    for act in ENDS:  # every pool and cache gets its size
        act(gate, "stop", -1)
    baseline = gate.baseline()
    with ThreadPoolExecutor(PARALLEL) as pool:
        done_with = [pool.submit(act, gate, name, number) for act, name, number in plan]
    for each, (act, name, _) in zip(done_with, plan, strict=True):
        assert each.exception() is None, (act, name, each.exception())
    wait_for(lambda: streams_of(gate) == 0, "no answer is in flight")
    wait_for(lambda: upstream.open_connections == 0, "no connection to Ollama is left")
    gate.wait_until_resources_settle(baseline)
    # the server's own pool grows up to its size and stays; threads of an answer are gone
    most = baseline["threads"] + MAX_STREAMS
    wait_for(lambda: gate.resources()["threads"] <= most, "the helper threads have ended")
    assert gate.get("/healthz").status == 200
