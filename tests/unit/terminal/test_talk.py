"""The talk at a prompt: what leaves it."""

from __future__ import annotations

import io
from typing import cast

import pytest

from clawgate.client import Gateway, Status, Upstream
from clawgate.terminal import talk as module
from clawgate.terminal.plain import PlainDisplay
from clawgate.terminal.prompt import Discarded, Prompt
from clawgate.terminal.settings import Settings
from clawgate.terminal.signals import Signals
from clawgate.terminal.talk import Talk


class FakeGateway:
    """A gateway that is asked for its state alone."""

    url = "http://gateway"

    def status(self) -> Status:
        """Return it."""
        return Status("m", Upstream(reachable=True, model_ready=True))


class FakePrompt:
    """A prompt at which Ctrl-C is pressed a few times, and then Ctrl-D."""

    def __init__(self, presses: int) -> None:
        self.presses = presses

    def ask(self) -> str:
        """Press the next key."""
        self.presses -= 1
        if self.presses < 0:
            raise EOFError
        raise Discarded(is_empty=True)


@pytest.mark.parametrize(("held_s", "status", "left"), [(0.0, 130, 3), (1e9, 0, -1)])
def test_ctrl_c_twice_leaves_but_not_a_key_that_is_held_down(
    monkeypatch: pytest.MonkeyPatch, held_s: float, status: int, left: int
) -> None:
    monkeypatch.setattr(module, "HELD_S", held_s)
    out, prompt = io.StringIO(), FakePrompt(5)
    talk = Talk(
        cast("Gateway", FakeGateway()), PlainDisplay(out, out), cast("Prompt", prompt), Settings("u"), Signals()
    )
    assert talk.run() == status
    assert prompt.presses == left
    assert out.getvalue().count("again leaves") == 1
