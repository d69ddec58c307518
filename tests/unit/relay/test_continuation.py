"""The question before a `continue`: a system without threads costs the answer to it, and no place."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from clawgate.errors import CannotContinue
from clawgate.relay.continuation import MAX_ASKING, ContinuationCheck
from tests.support.tools import refuse_thread


class Ollama:
    """A client whose models cannot go on."""

    def can_go_on(self, model: str, timeout_s: float) -> bool:  # noqa: ARG002
        """Say so."""
        return False


def test_without_a_further_thread_nothing_is_asked_and_no_place_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    ollama: Any = Ollama()
    check = ContinuationCheck()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse_thread)
        assert [check.check(ollama, "m") for _ in range(MAX_ASKING + 1)] == [False] * (MAX_ASKING + 1)
    for _ in range(MAX_ASKING + 1):
        with pytest.raises(CannotContinue):
            check.check(ollama, "m")
