"""The sizes of contexts are asked for in the background, seldom, and of the Ollama that is in force."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from clawgate.errors import UpstreamUnreachable
from clawgate.ollama.context import ContextSizes
from tests.support.tools import DEADLINE_S, refuse_thread, wait_for

LISTED = [
    {"name": "qwen3:32b", "context_length": 40_960},
    {"name": "Llama:latest", "context_length": 8192},
    {"name": "old"},
    {"name": "odd", "context_length": "many"},
    {"name": "none", "context_length": 0},
]


class AskedOllama:
    """A client that counts the questions, and answers once it may."""

    def __init__(self, answer: Any) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.answer = answer

    def ask(self, path: str, timeout_s: float) -> Any:
        """Answer /api/ps."""
        assert (path, timeout_s) == ("/api/ps", 5.0)
        self.asked += 1
        assert self.may_answer.wait(DEADLINE_S)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def sizes_of(ollama: Any, now: float = 100.0) -> ContextSizes:
    """Sizes that have been asked for."""
    sizes = ContextSizes()
    sizes.ask(ollama, now, now)
    wait_for(lambda: not sizes._is_asking, "the answer")
    return sizes


def test_the_sizes_are_those_of_the_loaded_models() -> None:
    ollama: Any = AskedOllama({"models": LISTED})
    sizes = sizes_of(ollama)
    names = ("qwen3:32b", "QWEN3:32b", "llama", "old", "odd", "none", "other")
    assert [sizes.size(ollama, name, 100.0) for name in names] == [40_960, 40_960, 8192, None, None, None, None]


def test_an_answer_that_is_too_old_or_of_another_ollama_tells_nothing() -> None:
    ollama: Any = AskedOllama({"models": LISTED})
    sizes = sizes_of(ollama)
    assert sizes.size(ollama, "llama", 100.1) is None
    assert sizes.size(AskedOllama({}), "llama", 0.0) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer", [UpstreamUnreachable("away"), {}, [], {"models": None}, {"models": [5]}, {"models": [{}]}, "html"]
)
def test_what_is_no_answer_tells_nothing_and_harms_nobody(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    ollama: Any = AskedOllama(answer)
    assert sizes_of(ollama).size(ollama, "llama", 0.0) is None
    assert caplog.records == []


def test_it_is_asked_at_most_every_two_seconds_and_once_at_a_time() -> None:
    ollama: Any = AskedOllama({"models": LISTED})
    sizes = sizes_of(ollama, now=100.0)
    for newer_than, now in ((100.0, 200.0), (101.0, 101.0), (90.0, 102.0)):
        sizes.ask(ollama, newer_than, now)
    assert ollama.asked == 1
    ollama.may_answer.clear()
    for now in (102.1, 200.0, 300.0):
        sizes.ask(ollama, now, now)
    assert sizes.size(ollama, "llama", 100.0) == 8192, "what was known is known until then"
    ollama.may_answer.set()
    wait_for(lambda: sizes.size(ollama, "llama", 102.1), "the second answer")
    assert ollama.asked == 2


def test_another_ollama_is_asked_at_once() -> None:
    before: Any = AskedOllama({"models": LISTED})
    now: Any = AskedOllama({"models": LISTED[:1]})
    sizes = sizes_of(before, now=100.0)
    sizes.ask(now, 40.0, 100.1)
    wait_for(lambda: sizes.size(now, "qwen3:32b", 100.0), "its answer")
    assert sizes.size(before, "llama", 100.0) is None


def test_without_a_thread_it_is_asked_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ollama: Any = AskedOllama({"models": LISTED})
    sizes = ContextSizes()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse_thread)
        sizes.ask(ollama, 100.0, 100.0)
    sizes.ask(ollama, 100.0, 100.0)
    wait_for(lambda: sizes.size(ollama, "llama", 100.0), "the answer")
