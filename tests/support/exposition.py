"""What `/metrics` says, read by prometheus_client's own parser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[str, float]
"""The samples by name and labels: `clawgate_answers_total{model="m",reason="stop"}`; the labels are in order."""


def families(exposition: str) -> list[Metric]:
    """Read an exposition in the text format; a counter's name has no `_total` here."""
    return list(text_string_to_metric_families(exposition))


def samples(exposition: str) -> Samples:
    """Read an exposition in the text format, without the buckets of histograms."""
    return dict(_samples(exposition))


def _samples(exposition: str) -> Iterator[tuple[str, float]]:
    for family in families(exposition):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value


def growth(before: Samples, after: Samples) -> dict[str, float]:
    """Return what has changed of clawgate's own, by how much; sums of seconds, which vary, are left out."""
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if name.startswith("clawgate_") and "_seconds_sum" not in name and value != before.get(name, 0)
    }
