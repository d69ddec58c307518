"""A metric's series by the values of their labels, as families for prometheus_client; metrics.py has one for each.

The sums come from tallies.py, at a scrape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from clawgate.telemetry.tallies import Board, Tally, Times


class Counters:
    """The series of a counter."""

    def __init__(self, board: Board, name: str, words: str, labels: Sequence[str] = ()) -> None:
        self._board = board
        self._head = name, words
        self._labels = labels
        self._series: dict[tuple[str, ...], Tally] = {}

    def add(self, *values: str, at: int | None = None) -> Tally:
        """Make a series; at: where its number is, if that was reserved before."""
        tally = Tally(self._board, self._board.reserve(1) if at is None else at)
        self._series[values] = tally
        return tally

    def family(self, sums: Sequence[float]) -> Metric:
        """Return what is told."""
        family = CounterMetricFamily(*self._head, labels=self._labels)
        for values, tally in list(self._series.items()):  # a reload may name another model meanwhile
            family.add_metric(values, sums[tally.at])
        return family


class Histograms:
    """The series of a histogram. bounds: those of its buckets, in seconds."""

    def __init__(
        self, board: Board, name: str, words: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        self._board = board
        self._head = name, words
        self._labels = labels
        self._bounds = bounds
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._series: dict[tuple[str, ...], Times] = {}

    def add(self, *values: str, at: int | None = None) -> Times:
        """Make a series; at: where its numbers are, if they were reserved before."""
        first = self._board.reserve(Times.size(self._bounds)) if at is None else at
        times = Times(self._board, first, self._bounds)
        self._series[values] = times
        return times

    def family(self, sums: Sequence[float]) -> Metric:
        """Return what is told."""
        family = HistogramMetricFamily(*self._head, labels=self._labels)
        for values, times in list(self._series.items()):
            end = times.at + len(self._names)
            buckets = zip(self._names, accumulate(sums[times.at : end]), strict=True)
            family.add_metric(values, list(buckets), sums[end])
        return family
