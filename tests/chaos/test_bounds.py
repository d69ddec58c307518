"""Memory stays within its bounds however long the load goes on, and no clock that is set changes that."""

from __future__ import annotations

import ast
import gc
import sys
import time
from collections.abc import Iterator

from clawgate.sessions import Bounds, MemoryStore, Message
from tests.support.tools import ROOT

SESSIONS = 100_000
KEPT = 100
ROUND = SESSIONS // 10
MB = 1 << 20
WALL_CLOCKS = {
    "bots/connection.py": "silence, by both clocks: the monotonic one stands still while a machine sleeps",
    "bots/dingtalk/messages.py": "a webhook's end is told in milliseconds since 1970; what is left of it is monotonic",
    "bots/dingtalk/pacing.py": "a month's quota begins anew with the calendar's next month",
    "telemetry/logs.py": "a log line's time is what people read",
    "sessions/memory.py": "created_at and last_active, which are shown; the time to live is monotonic",
    "web/api/transcript.py": "writes those two as RFC 3339",
    "web/ollama/frames.py": "created_at of a frame, which is shown",
    "web/openai/responses.py": "created_at of a response, likewise",
    "web/openai/routes.py": "created of a chunk, likewise",
}
"""The modules that may read the wall clock, and why. It can be set back and forward; nothing may wait by it."""

WALL_CLOCK_NAMES = {
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime"),
    *(f"{kind}.{name}" for kind in ("datetime", "date") for name in ("now", "utcnow", "today", "fromtimestamp")),
}


def test_100_000_sessions_through_a_store_of_100_take_the_same_time_and_memory() -> None:
    store = MemoryStore(Bounds(KEPT, 1800, MB))
    answer = Message(role="assistant", content="a" * 500)
    taken_s: list[float] = []
    held: list[int] = []
    for number in range(0, SESSIONS, ROUND):
        began_at = time.process_time()
        for index in range(number, number + ROUND):
            question = (Message(role="user", content=f"question {index} " * 20),)
            store.begin(f"s{index}", f"r{index}", question)
            assert store.settle(f"s{index}", f"r{index}", answer)
        taken_s.append(time.process_time() - began_at)
        gc.collect()
        held.append(sys.getallocatedblocks())  # gc.get_objects() would not see a text, nor a dict's entry
    print(f"{ROUND} sessions each: {[f'{each:.2f} s' for each in taken_s]}, blocks {held}")
    assert len(store) == KEPT
    assert max(held) - held[0] < ROUND, "memory grows"
    assert min(taken_s[5:]) < 2 * min(taken_s[:5]), "time grows"


def test_no_clock_that_can_be_set_is_waited_by() -> None:
    """`time.time` and its like stand only where a moment is shown; time-outs, pings and ages are monotonic."""
    package = ROOT / "clawgate"
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "embedded" not in path.parts and any(_wall_clocks(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == set(WALL_CLOCKS), "a new use of the wall clock needs its reason in WALL_CLOCKS"


def _wall_clocks(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in WALL_CLOCK_NAMES:
                yield name
