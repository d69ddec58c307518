"""Many clients ask, interrupt and delete one session at once: one upstream stream at most, one end each."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.scale import scaled
from tests.http.asking import finish, opening, reason, session, streams_of
from tests.http.test_supersede import is_hung_up
from tests.support.answer import Answer
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, call, done, text, thinking
from tests.support.tools import require_procfs, wait_for

AT_ONCE = 50
RACES = scaled(500, 10_000)
RACERS = 20
PATIENT = {"smoothing_ms": 0, "stall_seconds": 600}
SESSION = "s-race"


class Only:
    """Answers in several ways, and counts whenever an earlier answer was still connected as one began.

    Threads: the scripted Ollama's; `_lock` guards the answers that have not ended.
    """

    def __init__(self, seed: int) -> None:
        self.overlaps = 0
        self.asked = 0
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._open: list[Answer] = []

    def play(self, answer: Answer) -> None:
        """Play one answer."""
        with self._lock:
            self.asked += 1
            for other in self._open:
                earlier = min(answer, other, key=connected)  # a thread may come late to the lock
                self.overlaps += not (earlier.is_ended or is_hung_up(earlier))
            self._open = [earlier for earlier in self._open if not earlier.is_over] + [answer]
            kind = self._chance.choice(("silent", "thinking", "text", "whole"))
        if kind == "thinking":
            thinking("hm").play(answer)
        elif kind != "silent":
            text("x").play(answer)
        if kind == "whole":
            done().play(answer)
        else:
            answer.hang()


def connected(answer: Answer) -> int:
    """Give an answer's place in the order of connections."""
    return answer._connection.number


def ask_once(gate: Gateway, number: int) -> str:
    """Ask, read to the end and return its reason; the strict reader has seen exactly one end."""
    with gate.stream(opening(SESSION, f"m{number}")) as stream:
        assert stream.status == 200, stream.read_body()
        return reason(finish(stream))


def interrupt_once(gate: Gateway, _: int) -> str:
    """Interrupt, whatever there is."""
    reply = gate.post("/api/interrupt", {"session_id": SESSION})
    assert reply.status in (200, 404), reply
    return f"interrupt {reply.status}"


def delete_once(gate: Gateway, _: int) -> str:
    """Delete, whatever there is."""
    reply = gate.delete(f"/api/sessions/{SESSION}")
    assert reply.status in (204, 404), reply
    return f"delete {reply.status}"


def let_go(gate: Gateway, acts: list[Future[str]]) -> None:
    """Interrupt whenever nothing moves: nothing else ends the last answer."""
    before = -1
    while (over := sum(act.done() for act in acts)) < len(acts):
        if over == before:
            interrupt_once(gate, 0)
        before = over
        time.sleep(0.05)


def assert_nothing_is_left(gate: Gateway, ollama: ScriptedOllama, baseline: dict[str, int]) -> None:
    """Assert that slots, connections, fds and threads are what they were."""
    wait_for(lambda: streams_of(gate) == 0, "no answer is in flight")
    wait_for(lambda: ollama.open_connections == 0, "no connection to Ollama is left")
    gate.wait_until_resources_settle(baseline)
    most = baseline["threads"] + 100 + 16  # gunicorn's own pool, which stays
    wait_for(lambda: gate.resources()["threads"] <= most, "the helper threads have ended")


def test_fifty_that_ask_one_session_at_once_end_once_each(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require_procfs()
    only = Only(1)
    ollama.default(call(only.play))
    started = gateway(stream=PATIENT)
    baseline = started.baseline()
    barrier = threading.Barrier(AT_ONCE)

    def ask(number: int) -> str:
        barrier.wait()
        return ask_once(started, number)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        acts = [pool.submit(ask, number) for number in range(AT_ONCE)]
        wait_for(lambda: sum(act.done() for act in acts) >= AT_ONCE - 1, "all but the last are superseded")
        let_go(started, acts)
    ends = Counter(act.result() for act in acts)
    assert set(ends) <= {"superseded", "interrupted", "stop"}
    assert ends["interrupted"] <= 1
    assert only.overlaps == 0
    assert session(started, SESSION)["streaming"] is False
    assert_nothing_is_left(started, ollama, baseline)


@pytest.mark.deadline(900)
def test_chat_interrupt_and_delete_of_one_session_race(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    require_procfs()
    only = Only(2)
    ollama.default(call(only.play))
    started = gateway(stream=PATIENT, logging={"level": "error"})
    baseline = started.baseline()
    chance = random.Random(3)
    kinds = chance.choices((ask_once, interrupt_once, delete_once), (6, 1, 1), k=RACES)
    pauses = [chance.choice((0, 0, 0.005, 0.02, 0.05)) for _ in kinds]

    def act(number: int) -> str:
        time.sleep(pauses[number])  # some come together, some after a while: each phase of an answer is met
        return kinds[number](started, number)

    with ThreadPoolExecutor(RACERS) as pool:
        acts = [pool.submit(act, number) for number in range(RACES)]
        let_go(started, acts)
    outcomes = Counter(act.result() for act in acts)
    print(f"{RACES} races, {only.asked} requests to Ollama: {dict(outcomes)}")
    asked = sum(outcomes[end] for end in ("superseded", "interrupted", "stop"))
    assert asked == kinds.count(ask_once), outcomes
    assert only.overlaps == 0
    assert_nothing_is_left(started, ollama, baseline)
    assert "ERROR" not in started.log, started.log
