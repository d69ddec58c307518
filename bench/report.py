"""Tables and JSON: how results are shown. Pure but for reading what machine this is."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.rounds import Comparison, Summary


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table whose columns line up in a terminal too."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, rule, *rows]
    )


def comparison_table(comparison: Comparison) -> str:
    """Show a comparison, one target a line, its cost also as ratios to nginx and the naive relay."""
    head = ["target", "CPU/token min (median)", "x nginx", "x naive", "CPU/answer", "busy", "events/s"]
    head += ["lag p50 / p99", "first token + p50 / p99", "KB/stream", "served", "complete"]
    rows = [_row(summary, comparison) for summary in comparison.summaries.values()]
    plan = comparison.case.plan
    title = f"{comparison.case.name}: {plan.streams} streams x {plan.rate:g} tokens/s, {comparison.case.rounds} rounds"
    return f"{title}\n\n{table(head, rows)}\n" + "".join(f"\nwarning: {warning}" for warning in comparison.warnings)


def _row(summary: Summary, comparison: Comparison) -> list[str]:
    return [
        summary.target,
        f"{summary.cpu_us_min:.1f} us ({summary.cpu_us_median:.1f})" if summary.cpu_us_min else "-",
        _ratio(comparison.ratio(summary.target, "nginx")),
        _ratio(comparison.ratio(summary.target, "naive")),
        f"{summary.answer_cpu_ms:.1f} ms" if summary.cpu_us_min else "-",
        f"{summary.target_busy:.0%}",
        f"{summary.events_per_s:.0f}",
        f"{summary.lag.p50:.1f} / {summary.lag.p99:.1f} ms",
        f"{summary.added.p50:.1f} / {summary.added.p99:.1f} ms",
        f"{summary.kb_per_stream:.0f}" if summary.cpu_us_min else "-",
        f"{summary.served:.1%}",
        f"{summary.complete} of {summary.expected}",
    ]


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison with every round as plain data."""
    return {
        "case": asdict(comparison.case),
        "summaries": {name: asdict(summary) for name, summary in comparison.summaries.items()},
        "rounds": {name: [asdict(result) for result in results] for name, results in comparison.results.items()},
        "warnings": comparison.warnings,
    }


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def say(line: str) -> None:
    """Report progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Write results, with the machine they were measured on."""
    path.write_text(json.dumps({"machine": machine()} | found, indent=2) + "\n")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
