"""The pool of threads grows as jobs need it, up to its limit, and outlives jobs that fail."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from clawgate.server.threads import Threads
from tests.support.tools import DEADLINE_S, refuse_thread, wait_for

LIMIT = 3


@pytest.fixture
def threads() -> Iterator[Threads]:
    """A pool of three."""
    made = Threads(LIMIT)
    yield made
    made.close()


class Held:
    """Jobs that go on until they are let go."""

    def __init__(self) -> None:
        self.begun: list[threading.Thread] = []
        self.let_go = threading.Event()

    def __call__(self) -> None:
        self.begun.append(threading.current_thread())
        assert self.let_go.wait(DEADLINE_S)


def test_jobs_one_after_the_other_have_one_thread(threads: Threads) -> None:
    seen: list[threading.Thread] = []
    for number in range(10):
        threads.submit(lambda: seen.append(threading.current_thread()))
        wait_for(lambda number=number: len(seen) > number and not threads._unfinished, "the job is done")  # type: ignore[misc]
    assert len(set(seen)) == 1


def test_jobs_beyond_the_limit_wait_for_a_thread(threads: Threads) -> None:
    held = Held()
    for _ in range(LIMIT + 2):
        threads.submit(held)
    wait_for(lambda: len(held.begun) == LIMIT, "each thread has a job")
    assert threads.waiting == 2
    held.let_go.set()
    wait_for(lambda: len(held.begun) == LIMIT + 2, "the rest is done")
    assert len(set(held.begun)) == LIMIT


def test_a_job_waits_where_the_system_gives_no_thread(
    threads: Threads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_thread)
        threads.submit(held)
    assert (threads.waiting, held.begun) == (1, [])
    assert "no thread is left" in caplog.text
    threads.grow()
    wait_for(lambda: held.begun, "its thread has come")
    held.let_go.set()


def test_a_job_that_fails_costs_no_thread(threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[threading.Thread] = []

    def fail() -> None:
        seen.append(threading.current_thread())
        raise ValueError("of the job")

    for number in range(LIMIT + 1):
        threads.submit(fail)
        wait_for(lambda number=number: len(seen) > number and not threads._unfinished, "the job is done")  # type: ignore[misc]
    assert len(set(seen)) == 1
    assert "of the job" in caplog.text


def test_nothing_of_a_job_stays_while_its_thread_waits(threads: Threads) -> None:
    class Job:
        def __call__(self) -> None:
            pass

    job: Callable[[], None] = Job()
    kept = weakref.ref(job)
    threads.submit(job)
    del job
    wait_for(lambda: not threads._unfinished, "the job is done")
    gc.collect()
    assert kept() is None
