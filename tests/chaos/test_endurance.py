"""Mixed load for a while (30 minutes with `make chaos`): memory, threads and fds stay flat."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.endurance import CLIENTS, MB, Endurance
from tests.chaos.scale import IS_LONG, scaled
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import require_procfs

SECONDS = 60 * float(os.environ.get("ENDURANCE_MINUTES") or 30) if IS_LONG else 6.0
CURVE = os.environ.get("ENDURANCE_CURVE")
"""The file of the curve, as CSV; by default it lies beside the test's other files."""
MAX_STREAMS = 32
POOL = MAX_STREAMS + 16
MAX_GROWTH_BYTES = scaled(8, 4) * MB
"""Between the second and the last third; the short form is not warm yet."""


@pytest.mark.deadline(SECONDS + 90)
def test_what_is_held_stays_flat_under_mixed_load(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    require_procfs()
    started = gateway(
        server={"max_streams": MAX_STREAMS},
        stream={"stall_seconds": 600, "smoothing_ms": 20},
        logging={"level": "error"},
    )
    worker = started.worker_pid
    run = Endurance(started, ollama, SECONDS)
    try:
        run.run()
    finally:
        file = Path(CURVE) if CURVE else tmp_path / "endurance.csv"
        run.write(file)
    first, last = run.samples[0], run.samples[-1]
    print(f"{sum(run.answers.values())} requests in {SECONDS:g} s, {file}\n{first}\n{last}\n{dict(run.answers)}")
    growth = {name: run.growth(name) for name in ("rss_bytes", "threads", "fds", "sockets")}
    print(f"the last third beside the second: {growth}")
    assert not run.wrong, run.wrong
    assert growth["rss_bytes"] < MAX_GROWTH_BYTES, growth
    assert max(sample.threads for sample in run.samples) <= POOL + 4 + 2 * CLIENTS
    assert abs(growth["fds"]) <= CLIENTS, growth
    assert started.worker_pid == worker, "the worker was replaced"
