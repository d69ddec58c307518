"""The state of the workers of one master, that is no event: the standing of each desk, and its process.

A worker tells it once a second, in memory that all of them see; whoever is scraped adds it up. What the kernel knows of
a process is read at the scrape. The CPU of the workers that have ended is the master's to know.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from functools import partial

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from clawgate.relay.report import InHand, Standing
from clawgate.telemetry.tallies import shared_rows

_PID, _ANSWERS, _WAITING, _CLOSES, _THREADS = range(5)
_ENDED_CPU_S, _TOLD_CPU_S = range(2)
START = "process_start_time_seconds"
CPU = "process_cpu_seconds"


class Crowd:
    """What each worker tells of itself; made before the fork. A worker calls `join` after it.

    Threads: any; each number has one writer, but for the CPU that was told last.
    """

    def __init__(self, workers: int) -> None:
        self._rows = shared_rows(workers, 5)
        self._all = shared_rows(1, 2)[0]
        self._place = 0

    def join(self, place: int) -> None:
        """Be the worker at this place."""
        self._place = place
        self._rows[place][_PID] = os.getpid()

    def clear(self, place: int) -> None:
        """Forget a worker that has ended, but for its CPU; called by the master, which has waited for it."""
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._all[_ENDED_CPU_S] = spent.ru_utime + spent.ru_stime
        for number in range(5):
            self._rows[place][number] = 0

    def tell(self, in_hand: InHand) -> None:
        """Tell the others how things stand here."""
        row = self._rows[self._place]
        row[_ANSWERS], row[_WAITING], row[_CLOSES] = in_hand
        row[_THREADS] = threading.active_count()

    def total(self, standing: Standing) -> Standing:
        """Return how things stand with all workers, of which this one knows its own standing."""
        self.tell(InHand(standing.answers, standing.waiting, standing.closes))
        answers, waiting, closes = (self._sum(number) for number in (_ANSWERS, _WAITING, _CLOSES))
        return standing._replace(answers=answers, waiting=waiting, closes=closes)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the processes: their sums, and when the last of them started."""
        found: dict[str, list[float]] = {}
        words: dict[str, tuple[str, bool]] = {}
        for pid in [int(row[_PID]) for row in self._rows if row[_PID]]:
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                found.setdefault(family.name, []).append(family.samples[0].value)
                words[family.name] = family.documentation, family.type == "counter"
        for name, values in found.items():
            text, is_counter = words[name]
            value = max(values) if name == START else sum(values)
            if is_counter:
                yield CounterMetricFamily(name, text, self._risen(value))
            else:
                yield GaugeMetricFamily(name, text, value)
        yield GaugeMetricFamily("process_threads", "Number of threads.", self._sum(_THREADS))

    def _risen(self, cpu_s: float) -> float:
        """Return the CPU of all workers, also of those that have ended; never less than was told before.

        A worker that the master has just waited for is in neither of the two for a moment.
        """
        told = max(cpu_s + self._all[_ENDED_CPU_S], self._all[_TOLD_CPU_S])
        self._all[_TOLD_CPU_S] = told
        return told

    def _sum(self, number: int) -> int:
        return int(sum(row[number] for row in self._rows))
