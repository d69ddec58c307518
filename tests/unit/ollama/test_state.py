"""The probe of a neighbour that hangs before its first answer: few threads wait for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clawgate.ollama import state
from clawgate.ollama.state import MAX_WAITING, Probe
from tests.support.tools import DEADLINE_S, wait_for

ASKERS = 30


def test_few_wait_for_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "FIRST_ANSWER_S", DEADLINE_S)
    has_answered = threading.Event()
    probe = Probe(lambda: "up" if has_answered.wait(DEADLINE_S) else "late", "not known")
    with ThreadPoolExecutor(ASKERS) as threads:
        askers = [threads.submit(probe.state) for _ in range(ASKERS)]
        try:
            wait_for(lambda: sum(asker.done() for asker in askers) >= ASKERS - MAX_WAITING - 1, "the others go on")
        finally:
            has_answered.set()
        told = [asker.result() for asker in askers]
    assert told.count("up") == MAX_WAITING + 1
    assert set(told) == {"up", "not known"}
