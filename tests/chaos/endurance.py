"""Mixed load for any length of time, and what the gateway's worker holds meanwhile, second by second.

Half of the chaos is in the mixture: every kind of answer and of end that tests/live/test_resources.py knows, refused
requests, views, health. The load is bounded: so many clients, so many answers a second, whatever the machine can do.
"""

from __future__ import annotations

import csv
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.http.asking import streams_of
from tests.live.test_resources import KINDS, Player
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, call
from tests.support.tools import wait_for

CLIENTS = 12
ANSWERS_PER_S = 25
SAMPLES = 300
MB = 1 << 20


class Sample(NamedTuple):
    """The worker's resources at one moment."""

    seconds: float
    answers: int
    rss_bytes: int
    threads: int
    fds: int
    sockets: int


class Endurance:
    """One run before a gateway and its scripted Ollama.

    Threads: one a client and one that samples; `_lock` guards the counts.
    """

    def __init__(self, gateway: Gateway, ollama: ScriptedOllama, seconds: float) -> None:
        self.samples: list[Sample] = []
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._gateway = gateway
        self._ollama = ollama
        self._seconds = seconds
        self._lock = threading.Lock()
        self._began_at = 0.0

    def run(self) -> None:
        """Load the gateway, and return when all of it is over and given back."""
        self._ollama.default(call(Player()))
        baseline = self._gateway.baseline()
        self._began_at = time.monotonic()
        is_over = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(is_over,))
        sampler.start()
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(self._load, range(CLIENTS)))
        finally:
            is_over.set()
            sampler.join()
        wait_for(lambda: streams_of(self._gateway) == 0, "no answer is in flight")
        wait_for(lambda: self._ollama.open_connections == 0, "no connection to Ollama is left")
        self._gateway.wait_until_resources_settle(baseline)

    def _load(self, client: int) -> None:
        """Ask at a steady pace, in an order of its own."""
        chance = random.Random(client)
        number = client
        due_at = self._began_at + client / ANSWERS_PER_S
        while due_at < self._began_at + self._seconds and len(self.wrong) < 20:
            time.sleep(max(0.0, due_at - time.monotonic()))
            name = chance.choice([*KINDS, *ASIDE])
            outcome = self._once(name, number)
            with self._lock:
                self.answers[name] += 1
                if outcome:
                    self.wrong.append(f"{name} {number}: {outcome}")
            number += CLIENTS
            due_at = max(due_at + CLIENTS / ANSWERS_PER_S, time.monotonic() - 1)

    def _once(self, name: str, number: int) -> str:
        try:
            if name in ASIDE:
                status, allowed = ASIDE[name](self._gateway)
                return "" if status in allowed else f"status {status}"
            way, expected = KINDS[name]
            got = way(self._gateway, f"{name} {number}")
            return "" if got == expected else f"{got}, not {expected}"
        except Exception as error:  # noqa: BLE001  the rest goes on, and all that went wrong is shown together
            return repr(error)[:300]

    def _sample(self, is_over: threading.Event) -> None:
        every_s = max(0.2, self._seconds / SAMPLES)
        while not is_over.wait(every_s):
            held = self._gateway.resources()
            self.samples.append(
                Sample(round(time.monotonic() - self._began_at, 1), sum(self.answers.values()), **_ordered(held))
            )
            self._ollama.requests.clear()  # the harness must not grow itself

    def growth(self, name: str) -> float:
        """Return how much more of something the last third held than the second, by their medians."""
        values = [getattr(sample, name) for sample in self.samples]
        third = len(values) // 3
        return float(median(values[2 * third :]) - median(values[third : 2 * third]))

    def write(self, file: Path) -> None:
        """Write the curve as CSV."""
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(Sample._fields)
            writer.writerows(self.samples)


def _ordered(held: dict[str, int]) -> dict[str, int]:
    return {name: held[name] for name in Sample._fields if name in held}


def _status_of(method: str, path: str, body: bytes | None = None) -> Callable[[Gateway], int]:
    def ask(gateway: Gateway) -> int:
        if method == "GET":
            return gateway.get(path).status
        return gateway.post(path, body).status

    return ask


def _aside(ask: Callable[[Gateway], int], *allowed: int) -> Callable[[Gateway], tuple[int, Sequence[int]]]:
    return lambda gateway: (ask(gateway), allowed)


ASIDE: dict[str, Callable[[Gateway], tuple[int, Sequence[int]]]] = {
    "page": _aside(_status_of("GET", "/"), 200),
    "status": _aside(_status_of("GET", "/api/status"), 200),
    "health": _aside(_status_of("GET", "/healthz"), 200),
    "ready": _aside(_status_of("GET", "/readyz"), 200),
    "unknown session": _aside(_status_of("GET", "/api/sessions/nobody"), 404),
    "no json": _aside(_status_of("POST", "/api/chat", b"{oops"), 400),
    "wrong field": _aside(_status_of("POST", "/api/chat", b'{"message": 5}'), 400),
    "large": _aside(_status_of("POST", "/api/chat", b'{"message": "' + b"x" * MB + b'", "on_busy": 1}'), 400),
    "markdown": _aside(_status_of("POST", "/render", b'{"text": "# a\\n\\n`b` **c**"}'), 200, 503),
}
"""The requests beside the answers, and the statuses that they may have."""
