"""A thousand answers with random ends, fifty at a time: everything is given back, and every stream says how it ended.

The request's last user message, "KIND NUMBER", names what the model does to an answer; the client does what the
function of that kind does. Every kind has its number; a fixed seed decides their order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import sse
from tests.support.answer import Answer
from tests.support.gateway import Gateway
from tests.support.ollama import (
    ScriptedOllama,
    Step,
    call,
    chunk,
    done,
    drop,
    error_line,
    hang,
    reset,
    status,
    text,
    texts,
    thinking,
)
from tests.support.sse import Event
from tests.support.tools import require_procfs, wait_for

ANSWERS = 1000
WARM_UP = 150
IN_FLIGHT = 50
MAX_STREAMS = 64
POOL = MAX_STREAMS + 16
"""The worker's threads: they come when they are needed and stay."""
MAX_GROWTH_BYTES = 16 << 20
"""The limit after the warm-up; a stream's thread and buffers are about 30 KiB, a session here less than 1."""

SAYS: dict[str, tuple[Step, ...]] = {
    "done": (texts("Hel", "lo."), done()),
    "whole": (texts("Hel", "lo."), done()),
    "silent": (hang(),),
    "thinking": (thinking("hm"), hang()),
    "text": (text("Half"), hang()),
    "close": (text("Half"), hang()),
    "reset": (text("Half"), hang()),
    "gone": (hang(),),
    "recover": (text("Half"), drop()),
    "recover-early": (reset(),),
    "error": (text("Half"), error_line("out of memory")),
    "bad": (text("Half"), *[chunk(b"no frame\n")] * 3, hang()),
    "refused": (status(400, {"error": "no"}),),
    "supersede": (text("Half"), hang()),
    "delete": (text("Half"), hang()),
}
GOES_ON: Sequence[Step] = (text(" and whole"), done())


class Player:
    """Plays what the question names; the second request of one that recovers gets the rest."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def __call__(self, answer: Answer) -> None:
        """Play on one answer."""
        asked = [message["content"] for message in answer.request.messages if message["role"] == "user"][-1]
        kind = asked.split()[0]
        is_second = kind.startswith("recover") and asked in self._asked
        self._asked.add(asked)
        for step in GOES_ON if is_second else SAYS[kind]:
            step.play(answer)


def is_start(event: Event) -> bool:
    """Tell whether it is the first event."""
    return "run_id" in event.data and not event.is_end


def says(event: Event) -> bool:
    """Tell whether the model has said or thought something."""
    return event.is_text or "thinking" in event.data


def read_to_end(gateway: Gateway, question: str) -> tuple[str, str]:
    """Ask and read; return the end's reason and the text."""
    with gateway.stream(question) as stream:
        return finish(stream.read_all(), stream.complete)


def finish(events: list[Event], is_complete: bool) -> tuple[str, str]:
    """Check a stream that was read to its end; return the end's reason and the text."""
    sse.check(events)
    assert is_complete, f"the terminating chunk is missing: {events}"
    return sse.end_of(events)["done_reason"], sse.text_of(events)


def cut(gateway: Gateway, question: str, how: str) -> tuple[str, str]:
    """Ask, wait for the model's words, end the answer in another way, and read to the end."""
    kind = question.split()[0]
    with gateway.stream(question) as stream:
        events = stream.read_until(is_start if kind == "silent" else says)
        session_id = events[0].data["session_id"]
        if how == "interrupt":
            assert gateway.post("/api/interrupt", {"session_id": session_id}).json["interrupted"]
        elif how == "delete":
            assert gateway.delete(f"/api/sessions/{session_id}").status == 204
        else:
            body = {"session_id": session_id, "message": question.replace(kind, "done")}
            with gateway.stream(body) as successor:
                assert finish(successor.read_all(), successor.complete) == ("stop", "Hello.")
        return finish([*events, *stream.read_all()], stream.complete)


def leave(gateway: Gateway, question: str, how: str) -> tuple[str, str]:
    """Ask and leave; the end reaches no reader."""
    with gateway.stream(question) as stream:
        stream.read_until(is_start if question.startswith("gone") else says)
        getattr(stream, how)()
    return "left", ""


def ask_whole(gateway: Gateway, question: str) -> tuple[str, str]:
    """Ask for one JSON object."""
    reply = gateway.post("/api/chat", {"message": question, "stream": False})
    assert reply.status == 200, reply
    return reply.json["done_reason"], reply.json["message"]


Ask = Callable[[Gateway, str], tuple[str, str]]
KINDS: dict[str, tuple[Ask, tuple[str, str]]] = {
    "done": (read_to_end, ("stop", "Hello.")),
    "whole": (ask_whole, ("stop", "Hello.")),
    "silent": (lambda gateway, question: cut(gateway, question, "interrupt"), ("interrupted", "")),
    "thinking": (lambda gateway, question: cut(gateway, question, "interrupt"), ("interrupted", "")),
    "text": (lambda gateway, question: cut(gateway, question, "interrupt"), ("interrupted", "Half")),
    "close": (lambda gateway, question: leave(gateway, question, "close"), ("left", "")),
    "reset": (lambda gateway, question: leave(gateway, question, "reset"), ("left", "")),
    "gone": (lambda gateway, question: leave(gateway, question, "reset"), ("left", "")),
    "recover": (read_to_end, ("stop", "Half and whole")),
    "recover-early": (read_to_end, ("stop", " and whole")),
    "error": (read_to_end, ("error", "Half")),
    "bad": (read_to_end, ("error", "Half")),
    "refused": (read_to_end, ("error", "")),
    "supersede": (lambda gateway, question: cut(gateway, question, "supersede"), ("superseded", "Half")),
    "delete": (lambda gateway, question: cut(gateway, question, "delete"), ("interrupted", "Half")),
}


@pytest.mark.deadline(240)
def test_everything_is_given_back_after_a_thousand_random_ends(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require_procfs()
    ollama.default(call(Player()))
    started = gateway(server={"max_streams": MAX_STREAMS}, stream={"stall_seconds": 600}, logging={"level": "error"})
    worker = started.worker_pid
    baseline = started.baseline()
    kinds = [random.Random(1).choice(list(KINDS)) for _ in range(WARM_UP)]
    run(started, kinds, first=0)
    settle(started, ollama, baseline)
    warm = started.resources()

    chance = random.Random(2)
    kinds = [kind for kind in KINDS for _ in range(ANSWERS // len(KINDS) + 1)][:ANSWERS]
    chance.shuffle(kinds)
    run(started, kinds, first=WARM_UP)
    settle(started, ollama, baseline)
    now = started.resources()
    print(f"after booting {baseline}, after {WARM_UP} answers {warm}, after {ANSWERS} more {now}")
    assert now["threads"] <= baseline["threads"] + POOL, f"threads are left: {baseline} {now}"
    assert now["rss_bytes"] - warm["rss_bytes"] < MAX_GROWTH_BYTES, f"memory grows: {warm} {now}"
    assert started.worker_pid == worker, f"the worker was restarted: {started.log}"
    assert started.get("/api/status").json["streams"] == 0


def run(gateway: Gateway, kinds: Sequence[str], first: int) -> None:
    """Ask so many questions, fifty at a time, and assert that each ended as its kind ends."""

    def ask(numbered: tuple[int, str]) -> str:
        number, kind = numbered
        way, expected = KINDS[kind]
        try:
            assert way(gateway, f"{kind} {number}") == expected
        except Exception as error:  # noqa: BLE001  the rest goes on, and all that went wrong is shown together
            return f"{kind}: {error!r}"[:500]
        return ""

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        wrong = [each for each in pool.map(ask, enumerate(kinds, first)) if each]
    assert not wrong, f"{len(wrong)} of {len(kinds)}: {Counter(each.split(':')[0] for each in wrong)} {wrong[:5]}"


def settle(gateway: Gateway, ollama: ScriptedOllama, baseline: dict[str, int]) -> None:
    """Wait until sockets, fds and the connections to the model are what they were."""
    gateway.wait_until_resources_settle(baseline)
    wait_for(lambda: not ollama.open_connections, "the connections to Ollama are closed")
