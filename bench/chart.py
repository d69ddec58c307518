"""Pictures of results: `python -m bench.chart goals.json growth.json docs` writes cost.svg and growth.svg.

Needs matplotlib (`pip install '.[bench]'`); the figures themselves need nothing.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "clawgate"  # the same figures give the same file
from matplotlib import pyplot as plt  # noqa: E402 - the backend first

COLOURS = {"clawgate": "#2563eb", "nginx": "#9ca3af", "naive": "#f59e0b"}


def cost(found: dict[str, Any], file: Path) -> None:
    """Draw CPU per token of each program, one group of bars a load."""
    comparisons = found["comparisons"]
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    width = 0.8 / len(COLOURS)
    for place, (name, colour) in enumerate(COLOURS.items()):
        at = [number + (place - 1) * width for number, each in enumerate(comparisons) if name in each["summaries"]]
        height = [each["summaries"][name]["cpu_us_median"] for each in comparisons if name in each["summaries"]]
        bars = axes.bar(at, height, width * 0.95, label=name, color=colour)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(comparisons)), [each["case"]["name"] for each in comparisons])
    axes.set_ylabel("µs CPU per token")
    axes.set_title("What a token costs (median of the rounds; less is better)", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save(figure, file)


def growth(found: dict[str, Any], file: Path) -> None:
    """Draw how the cost grows with each thing, beside what linear growth would be."""
    axes_of = [(axis, list(points)) for axis, points in groupby(found["growth"], key=lambda point: point["axis"])]
    figure, grid = plt.subplots(1, len(axes_of), figsize=(3 * len(axes_of), 3), layout="constrained")
    for axes, (axis, points) in zip(grid, axes_of, strict=True):
        xs, ys = [point["x"] for point in points], [point["value"] for point in points]
        axes.plot(xs, ys, marker="o", color=COLOURS["clawgate"])
        if not axis.startswith("streams"):  # there it is the cost of one stream: level is linear in all
            axes.plot(xs, [ys[0] * x / xs[0] for x in xs], linestyle=":", color=COLOURS["nginx"])
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_ylim(top=max(ys) * 3)
        axes.set_xscale("log")
        axes.set_title(axis, fontsize=9)
        axes.set_ylabel(points[0]["unit"], fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, file)


def save(figure: Any, file: Path) -> None:
    """Write a picture without the date, so that it changes only when the figures do."""
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(prog="python -m bench.chart", description="pictures of results")
    parser.add_argument("goals", type=Path, help="what `bench.run --goals --json` wrote")
    parser.add_argument("growth", type=Path, help="what `bench.growth --json` wrote")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    cost(json.loads(arguments.goals.read_text()), arguments.folder / "cost.svg")
    growth(json.loads(arguments.growth.read_text()), arguments.folder / "growth.svg")


if __name__ == "__main__":
    main()
