"""The metrics: what a report adds, what is read at a scrape, and that nobody outside can make a series."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics

from clawgate import __version__
from clawgate.errors import ClawgateError, InternalError, UpstreamFailure, UpstreamStalled
from clawgate.relay.report import Report, RunIds, Standing
from clawgate.relay.stats import Stats
from clawgate.sessions import Counts, Dropped
from clawgate.telemetry.metrics import ENDING, MAX_MODELS, OPENMETRICS, PLAIN, REASONS, Metrics
from tests.support.exposition import Samples, families, growth, samples

STANDING = Standing(3, 7, 4, 2, 1, Counts(5, 3, 1000, 2000, 11, 12, Dropped(13, 14)), is_store_available=False)


def metrics_of(*models: str) -> Metrics:
    """Metrics of these models."""
    return Metrics(lambda: STANDING, models or ("m",))


def read(metrics: Metrics) -> Samples:
    """Scrape."""
    return samples(metrics.exposition(PLAIN).decode())


def report(**fields: Any) -> Report:
    """The report of a good answer, but for these fields."""
    whole = {
        "ids": RunIds("s", "r", "q"),
        "model": "m",
        "done_reason": "stop",
        "error": None,
        "stats": Stats(eval_count=7, prompt_eval_count=30),
        "first_token_s": 0.2,
        "duration_s": 1.5,
        "answer_bytes": 6,
        "wedges": 0,
        "requests": 1,
        "frames": 8,
        "bad_frames": 0,
        "phase": None,
        "waited_s": 0.0,
    }
    return Report(**(whole | fields))


def added(**fields: Any) -> dict[str, float]:
    """What a report adds."""
    metrics = metrics_of()
    before = read(metrics)
    metrics.on_end(report(**fields))
    return growth(before, read(metrics))


ANSWER = {
    'clawgate_answers_total{model="m",reason="stop"}': 1,
    'clawgate_answer_seconds_count{model="m"}': 1,
    'clawgate_first_token_seconds_count{model="m"}': 1,
    'clawgate_answer_tokens_total{model="m"}': 7,
    'clawgate_prompt_tokens_total{model="m"}': 30,
    "clawgate_frames_total": 8,
}
SILENT = {"stats": Stats(), "first_token_s": None, "frames": 0}


def test_an_answer_adds_its_end_its_times_and_its_tokens() -> None:
    assert added() == ANSWER


def test_times_are_added_in_seconds() -> None:
    metrics = metrics_of()
    metrics.on_end(report())
    metrics.on_cut("text", 0.004)
    metrics.note_render(0.25)
    told = read(metrics)
    assert told['clawgate_answer_seconds_sum{model="m"}'] == 1.5
    assert told['clawgate_first_token_seconds_sum{model="m"}'] == 0.2
    assert told['clawgate_interrupt_close_seconds_sum{phase="text"}'] == 0.004
    assert told["clawgate_render_seconds_sum"] == 0.25


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason != "error"])
def test_every_reason_of_an_end_is_told_apart(reason: str) -> None:
    assert added(done_reason=reason, **SILENT) == {
        f'clawgate_answers_total{{model="m",reason="{reason}"}}': 1,
        'clawgate_answer_seconds_count{model="m"}': 1,
    }


@pytest.mark.parametrize("kind", ENDING, ids=[kind.code for kind in ENDING])
def test_every_error_is_told_by_its_code(kind: type[ClawgateError]) -> None:
    error = kind.__new__(kind)
    assert added(done_reason="error", error=error, **SILENT) == {
        'clawgate_answers_total{model="m",reason="error"}': 1,
        f'clawgate_answer_errors_total{{code="{kind.code}"}}': 1,
        'clawgate_answer_seconds_count{model="m"}': 1,
    }


def test_troubles_are_added() -> None:
    troubles = growth(ANSWER, added(requests=3, waited_s=2.5, bad_frames=2, wedges=1))
    assert troubles == {
        "clawgate_retries_total": 2,
        "clawgate_upstream_wait_seconds_count": 1,
        "clawgate_bad_frames_total": 2,
        "clawgate_hung_slots_total": 1,
    }


def test_an_interrupt_has_its_phase() -> None:
    assert growth(ANSWER, added(done_reason="superseded", phase="stalled")) == {
        'clawgate_answers_total{model="m",reason="superseded"}': 1,
        'clawgate_interrupts_total{phase="stalled",reason="superseded"}': 1,
    }


def test_unloads_refusals_and_closes_are_added() -> None:
    metrics = metrics_of()
    before = read(metrics)
    metrics.on_unload(RunIds("s", "r", "q"))
    metrics.note_refusal("busy")
    metrics.on_cut("opening", 0.04)
    assert growth(before, read(metrics)) == {
        "clawgate_unloads_total": 1,
        'clawgate_error_responses_total{code="busy"}': 1,
        'clawgate_interrupt_close_seconds_count{phase="opening"}': 1,
    }


def test_how_things_stand_is_read_at_the_scrape() -> None:
    told = read(metrics_of())
    now = {name: value for name, value in told.items() if name.startswith(("clawgate_s", "clawgate_c"))}
    now |= {name: told[name] for name in ("clawgate_answers_in_flight", "clawgate_answers_waiting")}
    assert now == {
        "clawgate_streams": 3,
        "clawgate_streams_limit": 7,
        "clawgate_answers_in_flight": 4,
        "clawgate_answers_waiting": 2,
        "clawgate_closes_waiting": 1,
        "clawgate_session_store_up": 0,
        'clawgate_sessions{state="idle"}': 5,
        'clawgate_sessions{state="streaming"}': 3,
        'clawgate_sessions_memory_bytes{kind="text"}': 1000,
        'clawgate_sessions_memory_bytes{kind="images"}': 2000,
        'clawgate_sessions_evicted_total{reason="lru"}': 11,
        'clawgate_sessions_evicted_total{reason="ttl"}': 12,
        'clawgate_sessions_trimmed_total{kind="turns"}': 13,
        'clawgate_sessions_trimmed_total{kind="images"}': 14,
    }


def test_the_build_and_the_process_are_told() -> None:
    told = read(metrics_of())
    assert [name for name in told if name.startswith("clawgate_build_info") and f'version="{__version__}"' in name]
    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "threads", "start_time_seconds"):
        assert told[f"process_{name}"] > 0, name


def test_strangers_make_no_series() -> None:
    """Models, codes, reasons and sessions that nobody knows: one series `other` is all, however many come."""
    metrics = metrics_of()
    metrics.on_end(report(model="the first stranger"))
    before = read(metrics)
    for number in range(1000):
        error: ClawgateError = InternalError()
        error.code = f"code_{number}"
        ids = RunIds(f"sess_{number}", f"run_{number}", f"{number}")
        metrics.on_end(report(model=f"m{number}", ids=ids, done_reason=f"reason_{number}", error=error))
        metrics.on_unload(ids)
        metrics.note_refusal(error.code)
    after = read(metrics)
    assert set(after) == set(before)
    assert growth(before, after) == {
        'clawgate_answers_total{model="other",reason="other"}': 1000,
        'clawgate_answer_seconds_count{model="other"}': 1000,
        'clawgate_first_token_seconds_count{model="other"}': 1000,
        'clawgate_answer_tokens_total{model="other"}': 7000,
        'clawgate_prompt_tokens_total{model="other"}': 30000,
        'clawgate_answer_errors_total{code="other"}': 1000,
        'clawgate_error_responses_total{code="other"}': 1000,
        "clawgate_frames_total": 8000,
        "clawgate_unloads_total": 1000,
    }


def test_a_model_is_one_with_and_without_the_tag_latest_and_capitals() -> None:
    metrics = metrics_of("a", "b:latest", "C:7b", "A:latest")
    before = read(metrics)
    for name in ("a", "A:latest", "B", "b:latest", "c:7b", "c:7B:latest"):
        metrics.on_end(report(model=name))
    ends = {name: count for name, count in growth(before, read(metrics)).items() if "answers_total" in name}
    assert ends == {f'clawgate_answers_total{{model="{name}",reason="stop"}}': 2 for name in ("a", "b", "C:7b")}


def test_models_that_are_named_later_join_those_that_were_named_before() -> None:
    metrics = metrics_of("a")
    metrics.on_end(report(model="a"))
    metrics.name_models(["b", "a"])
    metrics.on_end(report(model="b"))
    metrics.on_end(report(model="a"))
    told = read(metrics)
    assert told['clawgate_answers_total{model="a",reason="stop"}'] == 2
    assert told['clawgate_answers_total{model="b",reason="stop"}'] == 1


def test_models_without_end_are_not_named() -> None:
    metrics = metrics_of("a")
    for number in range(2 * MAX_MODELS):
        metrics.name_models([f"m{number}"])
    metrics.on_end(report(model=f"m{2 * MAX_MODELS - 1}"))
    told = read(metrics)
    assert sum(name.startswith("clawgate_prompt_tokens_total") for name in told) == MAX_MODELS + 1
    assert told['clawgate_answers_total{model="other",reason="stop"}'] == 1


def test_both_formats_say_the_same_and_keep_the_rules_of_names() -> None:
    metrics = metrics_of()
    metrics.on_end(report(done_reason="error", error=UpstreamStalled("silence")))
    plain = families(metrics.exposition(PLAIN).decode())
    exposition = metrics.exposition(OPENMETRICS).decode()
    assert exposition.endswith("# EOF\n")
    strict = list(openmetrics.text_string_to_metric_families(exposition))  # type: ignore[no-untyped-call]
    both = {(each.name, each.type) for each in plain} ^ {(each.name, each.type) for each in strict}
    assert both == {("clawgate_build_info", "gauge"), ("clawgate_build", "info")}, "the text format has no such type"
    for family in strict:
        assert family.documentation.endswith("."), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        assert not [each for each in family.samples if each.name.endswith("_created")], family.name
        assert not family.name.endswith(("_total", "_ms", "_milliseconds")), family.name


def test_the_series_of_everything_that_can_go_wrong_are_there_from_the_start() -> None:
    """A series that begins with its first event is no increase to Prometheus: that event would not be seen."""
    told = read(metrics_of())
    kinds: list[type[ClawgateError]] = [*UpstreamFailure.__subclasses__(), InternalError]
    for kind in kinds:
        assert told[f'clawgate_answer_errors_total{{code="{kind.code}"}}'] == 0
        assert told[f'clawgate_error_responses_total{{code="{kind.code}"}}'] == 0
    for reason in REASONS:
        assert told[f'clawgate_answers_total{{model="m",reason="{reason}"}}'] == 0


def test_each_gateway_of_a_process_has_metrics_of_its_own() -> None:
    one, other = metrics_of(), metrics_of()
    one.on_end(report())
    assert growth(read(other), read(one)) == ANSWER
