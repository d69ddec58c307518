"""The metrics of several workers: their sums, and what stays of one that has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawgate.relay.report import InHand, Standing
from clawgate.sessions import Counts, Dropped
from clawgate.telemetry.metrics import PLAIN, Metrics
from clawgate.telemetry.tallies import Names
from tests.support.exposition import Samples, samples
from tests.unit.telemetry.test_metrics import report

ANSWERS = 'clawgate_answers_total{model="%s",reason="stop"}'


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of two workers, each of which one process plays in turn; each has four answers in flight."""
    standing = Standing(7, 8, 4, 2, 1, Counts(0, 0, 0, 0, 0, 0, Dropped()))
    return Metrics(lambda: standing, ("m",), workers=2)


def read(metrics: Metrics) -> Samples:
    return samples(metrics.exposition(PLAIN).decode())


def test_whoever_is_scraped_tells_the_counts_of_all(metrics: Metrics) -> None:
    for place in (0, 1, 1):
        metrics.join(place)
        metrics.on_end(report())
        metrics.on_cut("text", 0.004)
    for place in (0, 1):
        metrics.join(place)
        told = read(metrics)
        assert told[ANSWERS % "m"] == 3
        assert told['clawgate_answer_seconds_sum{model="m"}'] == 4.5
        assert told['clawgate_interrupt_close_seconds_count{phase="text"}'] == 3


def test_the_counts_of_a_worker_that_has_ended_stay_and_its_state_does_not(metrics: Metrics) -> None:
    for place in (0, 1):
        metrics.join(place)
        metrics.on_end(report())
        metrics.tell(InHand(4, 2, 1))
    before = read(metrics)
    assert (before["clawgate_answers_in_flight"], before["clawgate_answers_waiting"]) == (8, 4)
    assert (before["clawgate_streams"], before["clawgate_streams_limit"]) == (7, 8), "the desk knows the sum"
    metrics.clear(0)
    after = read(metrics)
    assert (after["clawgate_answers_in_flight"], after["clawgate_answers_waiting"]) == (4, 2)
    assert after[ANSWERS % "m"] == 2
    metrics.join(0)  # the one that takes its place
    metrics.on_end(report())
    assert read(metrics)[ANSWERS % "m"] == 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel tells of processes in /proc")
def test_the_processes_are_told_together_and_their_cpu_never_goes_back(metrics: Metrics) -> None:
    told = []
    for place in (0, 1):
        metrics.join(place)
        metrics.tell(InHand(4, 2, 1))
        told.append(read(metrics))
    assert told[1]["process_max_fds"] == 2 * told[0]["process_max_fds"]
    assert told[1]["process_threads"] >= 2
    metrics.clear(0)
    assert read(metrics)["process_cpu_seconds_total"] >= told[1]["process_cpu_seconds_total"] > 0


def test_a_worker_gives_no_numbers_to_names_and_knows_those_that_the_master_gave(metrics: Metrics) -> None:
    metrics.name_models(["named-by-the-master"])
    metrics.join(1)
    metrics.name_models(["named-by-the-master", "named-by-a-worker"])
    for model in ("named-by-the-master", "named-by-a-worker"):
        metrics.on_end(report(model=model))
    told = read(metrics)
    assert told[ANSWERS % "named-by-the-master"] == told[ANSWERS % "other"] == 1
    assert ANSWERS % "named-by-a-worker" not in told


def test_a_name_has_one_number_and_there_are_so_many() -> None:
    names = Names(2)
    assert [names.number_of(name) for name in ("a", "b", "a", "c")] == [0, 1, 0, None]
