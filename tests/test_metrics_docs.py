"""docs/metrics.md, the dashboard and the alerts agree with what `/metrics` tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from clawgate import create_app
from clawgate.config import settings
from clawgate.telemetry.metrics import ENDING, OTHER, PHASES, REASONS
from tests.support.promql import (
    DASHBOARD,
    RULES,
    TARGET,
    WORDS,
    alerts,
    grouped_in,
    names_in,
    panels,
    queries,
    selected_in,
)
from tests.support.tools import ROOT

ITS_OWN = {"up": set[str]()}
"""The series that Prometheus makes for every target."""


class Told(NamedTuple):
    """A metric as a table of the document has it."""

    type: str
    labels: frozenset[str]


@cache
def exposition() -> str:
    """What a new gateway tells."""
    return create_app().test_client().get("/metrics").text


@cache
def metrics() -> dict[str, Told]:
    """Every metric by its name."""
    found = {}
    for family in text_string_to_metric_families(exposition()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = Told(family.type, frozenset(labels - {"le"}))
    return found


@cache
def series() -> dict[str, set[str]]:
    """The labels of every series by its name, those of the buckets among them."""
    found: dict[str, set[str]] = {name: set(labels) for name, labels in ITS_OWN.items()}
    for family in text_string_to_metric_families(exposition()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def document() -> str:
    """The document's text."""
    return (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def rows() -> Iterator[list[str]]:
    """Yield the cells of each row of the document's tables."""
    for line in document().splitlines():
        if line.startswith("| `"):
            yield re.split(r" ?\| ?", line[2:-2])


def test_the_document_has_every_metric_with_its_type_and_labels() -> None:
    named = {
        row[0].strip("`"): Told(row[1], frozenset(re.findall(r"`(\w+)`", row[2])))
        for row in rows()
        if len(row) == 4 and row[3]
    }
    assert named == metrics()


def test_the_document_has_every_value_of_a_label() -> None:
    values = {*REASONS, *PHASES, OTHER, "lru", "ttl", "turns", "images", "text", "idle", "streaming"}
    assert {value for value in values if f"`{value}`" not in document()} == set()


def test_the_document_names_only_settings_that_are_there() -> None:
    named = set(re.findall(r"`((?:model|server|logging|stream|session)\.[a-z_]+)`", document()))
    assert len(named) > 5
    assert named - {setting.name for setting in settings()} == set()


def test_the_document_has_every_alert_and_no_other() -> None:
    named = [row[0].strip("`") for row in rows() if row[0].startswith("`Clawgate") and row[1] and row[2]]
    assert named == [rule["alert"] for rule in alerts()]


def test_the_examples_of_the_document_are_yaml_and_name_what_is_there() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", document(), re.M | re.S)]
    scrape, provisioning = blocks
    assert scrape["scrape_configs"][0]["job_name"] == "clawgate"
    assert Path(scrape["rule_files"][0]).name == RULES.name
    assert provisioning["providers"][0]["options"]["path"]


QUERIES = queries()


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_name_of_a_query_is_there(title: str, expression: str) -> None:
    used = names_in(expression) - WORDS
    assert used, title
    assert used - set(series()) == set(), "series that /metrics does not tell"
    for name, labels in selected_in(expression):
        assert labels - series()[name] - TARGET == set(), f"labels that {name} does not have"
    assert grouped_in(expression) - set().union(*(series()[name] for name in used)) - TARGET == set()


def test_a_query_that_names_what_is_not_there_would_be_found() -> None:
    assert names_in("sum by (a) (rate(clawgate_nothing_total{b='c'}[5m])) > 0.5") - WORDS == {"clawgate_nothing_total"}
    assert selected_in('x{a="1", b!~"2"} / sum by (c, d) (y)') == [("x", {"a", "b"})]
    assert grouped_in('x{a="1"} / sum by (c, d) (y)') == {"c", "d"}


def test_every_value_that_a_query_selects_is_one_that_is_told() -> None:
    told = {value for family in text_string_to_metric_families(exposition()) for value in _values(family)}
    told |= {kind.code for kind in ENDING} | {"clawgate"}
    for title, expression in QUERIES:
        selected = re.findall(r'(?:=~|=)\s*"([^"$]+)"', expression)
        assert {value for given in selected for value in given.split("|")} <= told, title


def _values(family: Any) -> set[str]:
    return {value for sample in family.samples for value in sample.labels.values()}


def test_quantiles_are_of_buckets_that_keep_their_limits() -> None:
    for title, expression in QUERIES:
        assert expression.count("histogram_quantile") == expression.count("_bucket"), title
        assert expression.count("_bucket") == len(re.findall(r"by \([^)]*\ble\b[^)]*\)", expression)), title


def test_the_dashboard_can_be_laid_out() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} overlaps"
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_the_dashboards_variables_are_those_that_it_uses() -> None:
    text = DASHBOARD.read_text(encoding="utf-8")
    named = [variable["name"] for variable in json.loads(text)["templating"]["list"]]
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    assert used == set(named)
    for panel in panels():
        if panel["type"] != "row":
            assert panel["description"], panel["title"]


def test_a_legend_names_labels_that_the_query_leaves() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            left = grouped_in(target["expr"]) or TARGET
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left, panel["title"]
