"""A flood of chats through the shipped nginx: most are refused as busy, and the others are served as ever."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support import client
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, hang, text
from tests.support.tools import ROOT, wait_for

CHATS = int(os.environ.get("FLOOD", "500"))
"""FLOOD=5000 by hand."""
CALM_S = 0.2
"""The promise for an interrupt and a health check. The median keeps it here, where all share two loaded cores."""
LIMIT_S = 3.0
"""The limit for the slowest here."""
RUNNING = 20


class Flood:
    """Chats from a process of its own. A context manager that ends it and its streams.

    Threads: one waits for the report.
    """

    def __init__(self, base_url: str) -> None:
        command = [sys.executable, "-m", "tests.support.flooder", base_url, str(CHATS)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._reader.join()
        self._process.stdout.close()
        self._process.wait()

    @property
    def seen(self) -> dict[str, int] | None:
        """The number of answers by status, once every chat has one."""
        return json.loads(self._line) if self._line else None

    def _read(self) -> None:
        assert self._process.stdout
        self._line = self._process.stdout.readline()


def timed(took: list[float], ask: Callable[[], Reply]) -> Reply:
    """Ask, and note how long it took."""
    begun = time.monotonic()
    reply = ask()
    took.append(time.monotonic() - begun)
    return reply


@pytest.mark.deadline(150)
def test_a_flood_leaves_interrupt_and_health_answering(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama
) -> None:
    ollama.default(text("春"), hang())
    gate = gateway(stream={"stall_seconds": 600}, logging={"level": "warning"})
    front = nginx(gate).base_url
    health: list[float] = []
    interrupts: list[float] = []
    with ExitStack() as stack:
        running = [stack.enter_context(StreamClient(front, {"message": "hi"})) for _ in range(RUNNING)]
        for stream in running:
            stream.read_text("春")
        flood = stack.enter_context(Flood(front))
        for stream in running:
            for _ in range(5):
                assert timed(health, lambda: client.get(front, "/healthz")).status == 200
            given = {"run_id": stream.events[0].data["run_id"]}
            reply = timed(interrupts, lambda given=given: client.post(front, "/api/interrupt", given))  # type: ignore[misc]
            assert (reply.status, reply.json["interrupted"], reply.json["partial"]) == (200, True, "春")
        while flood.seen is None:
            assert timed(health, lambda: client.get(front, "/healthz")).status == 200
        seen = flood.seen
        full = gate.get("/api/status").json
    figures = {"chats": CHATS, "answers": seen, **spread("health", health), **spread("interrupt", interrupts)}
    print(f"flood: {json.dumps(figures)}")
    assert sum(seen.values()) == CHATS
    assert set(seen) == {"200", "503"}, "each chat streams or is told that the gateway is busy"
    assert seen["200"] <= full["max_streams"]
    for took in (health, interrupts):
        assert statistics.median(took) < CALM_S
        assert max(took) < LIMIT_S
    wait_for(lambda: gate.get("/api/status").json["streams"] == 0, "the flood has left nothing in flight")
    assert client.post(front, "/healthz").status == 405, "nginx and the gateway serve on"


def spread(name: str, took: list[float]) -> dict[str, object]:
    """Give the spread of some durations in milliseconds."""
    ordered = sorted(round(1000 * each, 1) for each in took)
    return {
        name: {
            "asked": len(ordered),
            "p50_ms": statistics.median(ordered),
            "p99_ms": ordered[int(0.99 * (len(ordered) - 1))],
            "max_ms": ordered[-1],
        }
    }
