"""The closes that have to wait: each is done when it may be, on one thread, and is counted until then."""

from __future__ import annotations

import threading
import time
from typing import cast

import pytest

from clawgate.ollama.exchange import Exchange
from clawgate.relay.closings import MOST, Closings
from tests.support.tools import DEADLINE_S, refuse_thread, wait_for

SOON_S = 0.02


class Held:
    """An exchange that may not be closed before its time."""

    def __init__(self, for_s: float, fault: Exception | None = None) -> None:
        self.may_end_at = time.monotonic() + for_s
        self.closed_at: float | None = None
        self.cut_at: float | None = None
        self.is_released = False
        self._fault = fault

    def close(self) -> float | None:
        """Close, or tell when that may be."""
        now = time.monotonic()
        if now < self.may_end_at:
            return self.may_end_at
        if self._fault is not None:
            raise self._fault
        self.closed_at = self.cut_at = self.closed_at or now
        return None

    def release(self) -> float | None:
        """Note it, and close."""
        self.is_released = True
        return self.close()


def hold(closings: Closings, for_s: float, session_id: str = "s", **options: Exception) -> Held:
    """Close an exchange that has to be held for so long."""
    held = Held(for_s, **options)
    closings.close(session_id, cast("Exchange", held))
    return held


def await_all(closings: Closings) -> None:
    """Wait until every close is done."""
    wait_for(lambda: closings.count == 0, "all are closed")


def closers() -> int:
    """Count the threads that close."""
    return [thread.name for thread in threading.enumerate()].count("close-upstream")


def test_what_may_be_closed_is_closed_at_once_and_without_a_thread() -> None:
    closings = Closings()
    assert hold(closings, 0).closed_at is not None
    assert (closings.count, closings.clear_at("s"), closers()) == (0, None, 0)


def test_what_is_too_early_is_closed_in_its_time_while_nobody_waits() -> None:
    closings = Closings()
    began_at = time.monotonic()
    held = hold(closings, 0.3)
    assert time.monotonic() - began_at < 0.3
    assert (closings.count, closings.clear_at("s"), closings.clear_at("another")) == (1, held.may_end_at, None)
    await_all(closings)
    assert held.closed_at is not None
    assert held.closed_at >= held.may_end_at
    assert closings.clear_at("s") is None
    wait_for(lambda: closers() == 0, "the thread has nothing to wait for, and ends")


def test_a_release_in_between_changes_nothing_but_the_fd() -> None:
    closings = Closings()
    held = hold(closings, SOON_S)
    closings.release("s", cast("Exchange", held))
    assert closings.count == 1
    await_all(closings)
    assert held.is_released


def test_a_shorter_time_is_not_kept_by_a_longer_one() -> None:
    closings = Closings()
    long = hold(closings, 0.5, "long")
    wait_for(lambda: closings._wakes_at == long.may_end_at, "the thread waits for it")
    short = hold(closings, SOON_S, "short")
    wait_for(lambda: short.closed_at, "the shorter one is closed", DEADLINE_S)
    assert long.closed_at is None
    await_all(closings)


def test_a_time_that_begins_anew_is_waited_for_again() -> None:
    """The last byte of a request leaves a moment after its close."""
    closings = Closings()
    held = hold(closings, SOON_S)
    held.may_end_at += 0.2
    await_all(closings)
    assert held.closed_at is not None
    assert held.closed_at >= held.may_end_at


def test_a_thousand_at_once_have_one_thread_and_are_all_counted() -> None:
    closings = Closings()
    held = [hold(closings, 0.5, f"s{number}") for number in range(1000)]
    assert closers() == 1
    assert closings.count == sum(each.closed_at is None for each in held) > 0
    await_all(closings)
    assert all(each.closed_at for each in held)


def test_no_session_asks_while_too_many_wait() -> None:
    closings = Closings()
    first = hold(closings, 0.4, "first")
    for number in range(MOST - 2):
        hold(closings, 0.5, f"s{number}")
    assert closings.clear_at("new") is None
    hold(closings, 0.5, "last")
    assert closings.clear_at("new") == first.may_end_at
    await_all(closings)
    assert closings.clear_at("new") is None


def test_the_question_that_waits_for_a_close_does_it_in_its_time() -> None:
    """It does not depend on the thread, which may be late on a busy machine."""
    closings = Closings()
    closings._has_thread = True  # it is very late
    held = hold(closings, SOON_S)
    while (clear_at := closings.clear_at("s")) is not None:
        time.sleep(max(clear_at - time.monotonic(), 0))
    assert held.closed_at is not None


def test_a_time_that_begins_anew_for_a_question_that_waits_is_kept_without_it() -> None:
    """The thread has cut the rest and is gone by then."""
    closings = Closings()
    closings._has_thread = True
    held = hold(closings, SOON_S)
    time.sleep(SOON_S)
    held.may_end_at += 0.2
    closings._has_thread = False
    assert closings.clear_at("s") == held.may_end_at
    await_all(closings)
    assert held.closed_at is not None


def test_a_close_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    closings = Closings()
    hold(closings, SOON_S, "bad", fault=OSError("no"))
    good = hold(closings, SOON_S, "good")
    await_all(closings)
    assert good.closed_at is not None
    assert "closing a connection to Ollama failed" in caplog.text


def test_who_wants_to_know_of_a_close_is_told_at_once_or_when_it_is_done() -> None:
    closings = Closings()
    told: list[float] = []
    done, waits, open_ = hold(closings, 0), hold(closings, SOON_S), Held(0)
    for each in (done, waits, open_):
        closings.when_cut(cast("Exchange", each), told.append)
    assert told[0] == done.closed_at
    wait_for(lambda: len(told) == 2, "the close that had to wait is told")
    assert told[1] == waits.closed_at
    assert not closings._then


def test_a_close_that_fails_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    closings = Closings()
    told: list[float] = []
    closings.when_cut(cast("Exchange", hold(closings, SOON_S, fault=OSError("no"))), told.append)
    await_all(closings)
    assert "closing a connection to Ollama failed" in caplog.text
    assert not told
    assert not closings._then


def test_without_a_further_thread_the_close_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse_thread)
    closings = Closings()
    assert hold(closings, SOON_S).closed_at is not None
    assert closings.count == 0
