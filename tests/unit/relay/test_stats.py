"""The figures of an answer: Ollama's own, without nonsense, and the use of the context window."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clawgate.ollama.lenient import FIGURES
from clawgate.ollama.ndjson import Frame, FrameReader
from clawgate.relay.stats import stats_of


def told(frame: Frame, size: int | None = None) -> Any:
    """The figures as they are on the wire."""
    return msgspec.to_builtins(stats_of(frame, size))


def test_ollamas_figures_are_told_as_they_are() -> None:
    figures: dict[str, Any] = dict(zip(FIGURES, range(6), strict=True))
    assert told(Frame(**figures)) == figures
    assert told(Frame()) == {}


@pytest.mark.parametrize("nonsense", [-1, 1 << 63, 10**30])
@pytest.mark.parametrize("name", FIGURES)
def test_nonsense_is_not_told(name: str, nonsense: int) -> None:
    (frame,) = FrameReader(max_bad=1).feed(b'{"done":true,"%b":%d}\n' % (name.encode(), nonsense))
    assert told(frame, 4096) == {}


@pytest.mark.parametrize(
    ("prompt", "answer", "size", "expected"),
    [
        (100, 20, 4096, {"context": {"used": 120, "size": 4096}}),
        (100, None, 4096, {"context": {"used": 100, "size": 4096}}),
        (4095, 20, 4096, {"context": {"used": 4115, "size": 4096}}),
        (4096, 20, 4096, {"context": {"used": 4116, "size": 4096}, "context_full": True}),
        (5000, 0, 4096, {"context": {"used": 5000, "size": 4096}, "context_full": True}),
        (None, 20, 4096, {}),
        (100, 20, None, {}),
        (5000, 20, 0, {}),
    ],
)
def test_the_use_of_the_context(prompt: int | None, answer: int | None, size: int | None, expected: object) -> None:
    found = told(Frame(prompt_eval_count=prompt, eval_count=answer), size)
    assert {name: value for name, value in found.items() if name.startswith("context")} == expected
