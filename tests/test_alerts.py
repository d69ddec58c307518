"""The alert rules: each says what is the matter, and fires when it should."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clawgate import create_app
from tests.support.promql import RULES, TARGET, alerts, grouped_in, queries
from tests.support.tools import DEADLINE_S, require


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_the_matter(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description"}
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert named <= (grouped_in(rule["expr"]) or TARGET)


def promtool(*arguments: str, given: str = "") -> str:
    """Run promtool, which has to succeed."""
    binary = require("promtool", "Prometheus' own word on rules; Debian's package `prometheus` has it")
    ended = subprocess.run(
        [binary, *arguments], input=given, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_promtool_takes_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


def test_promtool_takes_the_dashboards_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": re.sub(r"\$\w+", "5m", expression)}
        for number, (_, expression) in enumerate(queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def test_promtool_takes_what_is_told() -> None:
    told = create_app().test_client().get("/metrics").text
    assert promtool("check", "metrics", given=told) == ""


def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    case = tmp_path / "alerts.yaml"
    case.write_text(yaml.safe_dump({"rule_files": [RULES.name], "evaluation_interval": "1m", "tests": list(cases())}))
    assert "SUCCESS" in promtool("test", "rules", str(case))


TARGETED = 'job="clawgate",instance="a"'


def cases() -> Iterator[dict[str, Any]]:
    """Yield promtool's tests: series from minute 0 on, and the alerts that fire at minute 20."""

    def case(given: dict[str, str], *fires: str) -> dict[str, Any]:
        return {
            "interval": "1m",
            "input_series": [{"series": _targeted(name), "values": values} for name, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fires)],
                }
            ],
        }

    good = {
        "up": "1x30",
        "clawgate_streams": "40x30",
        "clawgate_streams_limit": "100x30",
        "clawgate_answers_waiting": "0x30",
        'clawgate_answers_total{model="m",reason="stop"}': "0+60x30",
        'clawgate_answers_total{model="m",reason="error"}': "0+1x30",
        'clawgate_interrupt_close_seconds_bucket{phase="text",le="0.01"}': "0+9x30",
        'clawgate_interrupt_close_seconds_bucket{phase="text",le="+Inf"}': "0+9x30",
        'clawgate_interrupt_close_seconds_bucket{phase="opening",le="0.01"}': "0x30",
        'clawgate_interrupt_close_seconds_bucket{phase="opening",le="0.5"}': "0+9x30",
        'clawgate_interrupt_close_seconds_bucket{phase="opening",le="+Inf"}': "0+9x30",
        'clawgate_first_token_seconds_bucket{model="m",le="1"}': "0+9x30",
        'clawgate_first_token_seconds_bucket{model="m",le="+Inf"}': "0+9x30",
        "clawgate_session_store_up": "1x30",
        "process_open_fds": "100x30",
        "process_max_fds": "1000x30",
        "process_start_time_seconds": "5x30",
    }
    yield case(good)
    yield case({"up": "0x30"}, "ClawgateDown")
    yield case({**good, "clawgate_answers_waiting": "3x30"}, "ClawgateOllamaAway")
    away = {'clawgate_answer_errors_total{code="upstream_unreachable"}': "0+1x30"}
    yield case({**good, **away}, "ClawgateOllamaAway")
    yield case({**good, 'clawgate_answers_total{model="m",reason="error"}': "0+9x30"}, "ClawgateAnswersFail")
    yield case({'clawgate_answers_total{model="m",reason="error"}': "0x17 1x12"})
    yield case({'clawgate_answer_errors_total{code="internal"}': "0x17 1x12"}, "ClawgateInternalError")
    yield case({'clawgate_error_responses_total{code="internal"}': "0x17 1x12"}, "ClawgateInternalError")
    yield case({'clawgate_answer_errors_total{code="model_not_found"}': "0x17 1x12"}, "ClawgateModelNotFound")
    yield case({**good, "clawgate_streams": "95x30"}, "ClawgateAlmostFull")
    yield case({'clawgate_error_responses_total{code="busy"}': "0+1x30"}, "ClawgateBusy")
    yield case({'clawgate_error_responses_total{code="busy"}': "0x9 1x20"})
    slow = {
        'clawgate_first_token_seconds_bucket{model="m",le="1"}': "0x30",
        'clawgate_first_token_seconds_bucket{model="m",le="60"}': "0+9x30",
    }
    yield case({**good, **slow}, "ClawgateFirstTokenSlow")
    yield case({"clawgate_hung_slots_total": "0x17 1x12"}, "ClawgateSlotHangs")
    yield case({"clawgate_bad_frames_total": "0x17 1x12"}, "ClawgateBadFrames")
    late = {
        'clawgate_interrupt_close_seconds_bucket{phase="text",le="0.01"}': "0x30",
        'clawgate_interrupt_close_seconds_bucket{phase="text",le="0.5"}': "0+9x30",
    }
    yield case({**good, **late}, "ClawgateInterruptsSlow")
    yield case({'clawgate_sessions_evicted_total{reason="lru"}': "0+9x30"}, "ClawgateSessionsEvicted")
    yield case({'clawgate_sessions_evicted_total{reason="ttl"}': "0+9x30"})
    yield case({**good, "clawgate_session_store_up": "0x30"}, "ClawgateSessionStoreAway")
    yield case({"clawgate_session_store_up": "1x19 0x10"})
    yield case({**good, "process_open_fds": "900x30"}, "ClawgateFileDescriptors")
    yield case({"process_start_time_seconds": "1x5 2x5 3x5 4x9"}, "ClawgateRestarts")


def _targeted(name: str) -> str:
    metric, _, labels = name.partition("{")
    return f"{metric}{{{TARGETED}}}" if not labels else f"{metric}{{{TARGETED},{labels}"


def test_every_alert_is_tried() -> None:
    tried = {
        name for case in cases() for each in case["promql_expr_test"][0]["exp_samples"] for name in [each["labels"]]
    }
    assert tried == {f'{{alertname="{rule["alert"]}"}}' for rule in alerts()}
