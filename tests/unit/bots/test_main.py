"""The signals of a bot's program."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from clawgate.bots.main import _Running
from clawgate.errors import ConfigError


def no_config() -> Any:
    """Read a configuration that has a mistake."""
    raise ConfigError("bots.x: unknown key")


def test_many_hangups_are_one_reading_and_delay_no_end(caplog: pytest.LogCaptureFixture) -> None:
    bot: Any = SimpleNamespace(wire=None)
    running = _Running(bot, no_config)
    for _ in range(1000):
        running._take(signal.SIGHUP, None)
    running._take(signal.SIGTERM, None)
    items = [running._inbox.get() for _ in range(running._inbox.qsize())]
    assert items == [signal.SIGHUP, signal.SIGTERM]
    running._read_again()
    assert "was not read again" in caplog.text
    running._take(signal.SIGHUP, None)
    assert running._inbox.get_nowait() == signal.SIGHUP, "one that comes behind a reading is not lost"
