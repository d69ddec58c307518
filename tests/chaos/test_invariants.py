"""Random mixed load (minutes of it with `make chaos`): every outcome is judged, and the report counts them all.

`CHAOS_SEED=7` has the clients do the same again; what meets what is the machine's choice each time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import pytest

from tests.chaos.judge import Judge
from tests.chaos.mixture import CROWDED, SCATTERED, Mixture
from tests.chaos.scale import IS_LONG, scaled
from tests.http.asking import ask, reason, streams_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, text
from tests.support.tools import require_procfs, wait_for

SECONDS = 10 * float(os.environ.get("ENDURANCE_MINUTES") or 30) if IS_LONG else 1.5
"""A sixth of the minutes for each of the three loads."""
SEED = int(os.environ.get("CHAOS_SEED") or scaled(1, random.SystemRandom().randrange(1000, 10**6)))
MAX_STREAMS = 64
POOL = MAX_STREAMS + 16
MAX_GROWTH_BYTES = 64 << 20
"""Beyond the memory after booting: the pool's threads, and 1,000 sessions at most."""


class Load(NamedTuple):
    """The clients at each session, and what the store keeps of them."""

    cells: tuple[int, ...]
    max_sessions: tuple[int, ...]
    max_context_bytes: int


LOADS = {
    "many at few sessions": Load(CROWDED, (1000,), 1 << 20),
    "many at few sessions that keep little": Load(CROWDED, (1000,), 3000),
    "sessions push each other out": Load(SCATTERED, (1, 2, 3), 3000),
}


@pytest.mark.deadline(SECONDS + 120)
@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_every_outcome_under_mixed_load_is_what_was_promised(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, capsys: pytest.CaptureFixture[str], load: Load
) -> None:
    require_procfs()
    started = gateway(
        server={"max_streams": MAX_STREAMS},
        stream={"stall_seconds": 600},
        session={"max_sessions": load.max_sessions[-1], "max_context_bytes": load.max_context_bytes},
        logging={"level": "error"},
    )
    worker, baseline = started.worker_pid, started.baseline()
    judge = Judge(is_trimmed=load.max_context_bytes < 1 << 20)
    mixture = Mixture(started, ollama, load.cells, SEED, judge)
    try:
        mixture.run(SECONDS, load.max_sessions)
        wait_for(lambda: streams_of(started) == 0, "no answer is in flight")
        wait_for(lambda: ollama.open_connections == 0, "no connection to Ollama is left")
        held = started.wait_until_resources_settle(baseline)
    finally:
        with capsys.disabled() if IS_LONG else nullcontext():
            print(
                f"\nCHAOS_SEED={SEED}, {SECONDS:g} s, {mixture.reloads} reloads, {mixture.teller.late} closes seen late"
            )
            print(judge.report())
    print(f"held before {baseline}, after {held}")
    assert not judge.violations, judge.violations
    assert not mixture.teller.unknown, mixture.teller.unknown[:5]
    assert held["threads"] <= baseline["threads"] + POOL + 4, held
    assert held["rss_bytes"] < baseline["rss_bytes"] + MAX_GROWTH_BYTES, (baseline, held)
    assert started.worker_pid == worker, "the worker was replaced"
    assert "Traceback" not in started.log, started.log
    ollama.default(text("a"), done())
    assert reason(ask(started, "hi")) == "stop", "it still answers"
