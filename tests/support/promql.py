"""The dashboard and the alert rules of docs/grafana/, and the names in their PromQL."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.support.tools import ROOT

FOLDER = ROOT / "docs" / "grafana"
RULES = FOLDER / "clawgate.rules.yaml"
DASHBOARD = FOLDER / "clawgate.json"
TARGET = {"job", "instance"}
"""The labels that Prometheus adds to every series."""
WORDS = {
    *("sum", "count", "by", "rate", "increase", "changes", "histogram_quantile"),
    *("and", "or", "unless"),
}
"""The words of PromQL that are used."""


def alerts() -> list[dict[str, Any]]:
    """The alert rules in their order."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard, rows among them."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def queries() -> list[tuple[str, str]]:
    """Every expression, with the title of where it is."""
    of_panels = [(panel["title"], target["expr"]) for panel in panels() for target in panel.get("targets", ())]
    return [*of_panels, *((rule["alert"], rule["expr"]) for rule in alerts())]


def selected_in(expression: str) -> list[tuple[str, set[str]]]:
    """The series that an expression selects from, each with the labels that it selects by."""
    found = re.findall(r"([a-zA-Z_]\w*)\{([^}]*)\}", expression)
    return [(name, set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', selector))) for name, selector in found]


def grouped_in(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    return {label.strip() for given in re.findall(r"\bby \(([^)]*)\)", expression) for label in given.split(",")}


def names_in(expression: str) -> set[str]:
    """The names in an expression that are no labels: series, functions and operators."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)", " ", expression)
    return set(re.findall(r"[a-zA-Z_]\w*", bare))
