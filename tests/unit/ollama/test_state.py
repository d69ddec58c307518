"""A question to a neighbour is asked seldom, by one thread, and few threads wait for its first answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clawgate.ollama import state
from clawgate.ollama.state import ASK_EVERY_S, MAX_WAITING, CachedQuestion
from tests.support.tools import DEADLINE_S, wait_for

ASKERS = 30


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_few_wait_for_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "FIRST_ANSWER_S", DEADLINE_S)
    has_answered = threading.Event()
    question = CachedQuestion(lambda: "up" if has_answered.wait(DEADLINE_S) else "late", "not known")
    with ThreadPoolExecutor(ASKERS) as threads:
        askers = [threads.submit(question.answer) for _ in range(ASKERS)]
        try:
            wait_for(lambda: sum(asker.done() for asker in askers) >= ASKERS - MAX_WAITING - 1, "the others go on")
        finally:
            has_answered.set()
        answers = [asker.result() for asker in askers]
    assert answers.count("up") == MAX_WAITING + 1
    assert set(answers) == {"up", "not known"}


def test_nobody_waits_where_the_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "FIRST_ANSWER_S", 2 * DEADLINE_S)
    is_asked, has_answered = threading.Event(), threading.Event()

    def ask() -> str:
        is_asked.set()
        assert has_answered.wait(DEADLINE_S)
        return "up"

    question = CachedQuestion(ask, "not known", is_waited_for=False)
    with ThreadPoolExecutor(1) as threads:
        asker = threads.submit(question.answer)
        try:
            assert is_asked.wait(DEADLINE_S)
            assert question.answer() == "not known"
        finally:
            has_answered.set()
        assert asker.result() == question.answer() == "up"


def asked_of(answers: Iterator[str | None], *, is_lasting: bool) -> list[str | None]:
    """Return the answers at each half of the time between two questions."""
    clock = Clock()
    question = CachedQuestion(lambda: next(answers), None, is_lasting=is_lasting, clock=clock)
    given = []
    for _ in range(6):
        given.append(question.answer())
        clock.now += ASK_EVERY_S / 2
    return given


def test_an_answer_is_kept_for_two_seconds() -> None:
    assert asked_of(iter("abc"), is_lasting=False) == ["a", "a", "b", "b", "c", "c"]


def test_a_lasting_answer_is_asked_for_until_it_is_there_and_never_again() -> None:
    assert asked_of(iter([None, "a"]), is_lasting=True) == [None, None, "a", "a", "a", "a"]


def test_a_question_that_fails_is_asked_again() -> None:
    answers = iter([ZeroDivisionError, None])

    def ask() -> str:
        if error := next(answers):
            raise error
        return "up"

    question = CachedQuestion(ask, "not known")
    with pytest.raises(ZeroDivisionError):
        question.answer()
    assert question.answer() == "up"
