"""The log lines of an answer, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.errors import InternalError, UpstreamStalled
from clawgate.relay.report import Report, RunIds
from clawgate.relay.stats import Context, Stats
from clawgate.telemetry.answers import AnswerLog
from clawgate.telemetry.ids import Pseudonyms
from clawgate.telemetry.logs import TextFormatter

IDS = RunIds("s", "r", "q")
NAMES = "session=s run=r request=q"


def report(**fields: Any) -> Report:
    """The report of a good answer, but for these fields."""
    whole = {
        "ids": IDS,
        "model": "m",
        "done_reason": "stop",
        "error": None,
        "stats": Stats(eval_count=7, context=Context(812, 4096)),
        "first_token_s": 0.0416,
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


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    """Return the lines so far, as a handler at debug writes them."""
    caplog.set_level("INFO")
    caplog.handler.addFilter(Pseudonyms(b"k" * 16, is_whole=True))
    formatter = TextFormatter("%(levelname)s %(name)s: %(message)s")
    return lambda: [formatter.format(record) for record in caplog.records]


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        ({}, "model=m reason=stop tokens=7 context=812/4096 first_token_ms=42 duration_ms=1500 bytes=6"),
        (
            {"done_reason": "interrupted", "stats": Stats(), "first_token_s": None, "answer_bytes": 0},
            "model=m reason=interrupted tokens=- context=- first_token_ms=- duration_ms=1500 bytes=0",
        ),
    ],
)
def test_an_answer_is_one_line(told: Any, fields: dict[str, Any], rest: str) -> None:
    AnswerLog().on_end(report(**fields))
    assert told() == [f"INFO clawgate.relay.desk: answer ended: {NAMES} {rest}"]


def test_an_answer_that_failed_has_a_warning_too(told: Any) -> None:
    AnswerLog().on_end(report(done_reason="error", error=UpstreamStalled("silence"), stats=Stats()))
    assert told() == [
        f"WARNING clawgate.relay.pump: answer failed: {NAMES} error=upstream_stalled: silence",
        f"INFO clawgate.relay.desk: answer ended: {NAMES} model=m reason=upstream_stalled tokens=- context=- "
        "first_token_ms=42 duration_ms=1500 bytes=6",
    ]


def test_an_unload_is_a_warning(told: Any) -> None:
    AnswerLog().on_unload(RunIds("s", "r", ""))
    assert told() == [
        "WARNING clawgate.relay.pump: a slot of Ollama's hangs, unloading the model: session=s run=r request=-"
    ]


def test_a_fault_has_its_traceback(told: Any, caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise RuntimeError("ours")
    except RuntimeError as error:
        AnswerLog().on_fault(IDS, error)
    AnswerLog().on_end(report(done_reason="error", error=InternalError()))
    assert told()[0].startswith(f"ERROR clawgate.relay.pump: answer failed: {NAMES}\nTraceback (most recent call last)")
    assert told()[0].endswith("RuntimeError: ours")
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]
