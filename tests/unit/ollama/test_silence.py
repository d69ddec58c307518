"""Questions to Ollama in the background: so many at once, and no place is lost."""

from __future__ import annotations

import threading

import pytest

from clawgate.errors import UpstreamFailure
from clawgate.ollama.silence import Places
from tests.support.tools import DEADLINE_S, refuse_thread, wait_for


def test_no_more_are_asked_at_once_than_there_are_places() -> None:
    places, may_end, is_told = Places(2), threading.Event(), threading.Event()
    calls = [places.call(lambda: may_end.wait(DEADLINE_S), None, is_told.set) for _ in range(3)]
    assert [call is None for call in calls] == [False, False, True]
    may_end.set()
    assert is_told.wait(DEADLINE_S)
    assert wait_for(lambda: places.call(lambda: 1, None, is_told.set), "a place is free again")


def test_a_question_that_fails_gives_its_place_back(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise UpstreamFailure("away")

    places = Places(1)
    for _ in range(3):
        is_told = threading.Event()
        call = wait_for(lambda: places.call(fail, "no", is_told.set), "the place is free")  # noqa: B023
        assert is_told.wait(DEADLINE_S)
        assert call.result == "no"
    assert "asking Ollama failed" in caplog.text


def test_a_question_that_gets_no_thread_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    places, is_told = Places(1), threading.Event()
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", refuse_thread)
        call = places.call(lambda: 1, 0, is_told.set)
        assert call is not None
        assert call.result == 0, "it has failed at once"
    assert places.call(lambda: 1, None, is_told.set) is not None
    assert is_told.wait(DEADLINE_S)
