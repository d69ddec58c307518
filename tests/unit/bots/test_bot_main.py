"""A bot's process without a messenger: how it ends when its connection does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clawgate.bots import main
from clawgate.bots.assembly import Bot, GatewayAddress, bot_of
from clawgate.bots.failures import Denied, TakenOver
from clawgate.bots.link import Link
from clawgate.config import BotsConfig
from clawgate.errors import ConfigError
from tests.support.tools import DEADLINE_S

PLACE = GatewayAddress("http://127.0.0.1:18789", "token")


class EndingBot:
    """A bot whose connection ends with an error. done: what was done, in its order."""

    kind = SimpleNamespace(title="WeCom")

    def __init__(self, error: Exception) -> None:
        self.done: list[str] = []
        self.wire = self
        self.conversations = self
        self._error = error

    def address(self) -> str:
        """End the connection."""
        raise self._error

    def begin(self, link: Link) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Note it."""
        self.done.append("left")

    def drain(self, timeout_s: float) -> bool:
        """Note it."""
        self.done.append(f"drained in {timeout_s:g} s")
        return True


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Give the signals back to the tests."""
    numbers = (*main.ENDINGS, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def running(bot: EndingBot) -> Any:
    """The process of a bot."""
    return main._Running(cast(Bot, bot), PLACE, lambda: (BotsConfig(), PLACE))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Denied("the secret is wrong"), main.WRONG),
        (TakenOver("another one has it"), main.ANOTHER),
        (ZeroDivisionError("a fault of ours"), main.NOT_READY),
    ],
)
def test_a_connection_that_ends_ends_the_bot(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bot = EndingBot(error)
    assert running(bot).run() == status
    assert bot.done == ["left", f"drained in {main.LEAVE_S:g} s"]
    assert capsys.readouterr().err.count("\n") == 1
    assert ("ZeroDivisionError" in caplog.text) is isinstance(error, ZeroDivisionError)


def test_no_answer_waits_for_a_connection_whose_thread_is_not_quite_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread tells of the end before it ends itself."""
    bot, let_go = EndingBot(TakenOver("another one has it")), threading.Event()
    process = running(bot)
    keep: Callable[[], None] = process._keep

    def keep_and_linger() -> None:
        keep()
        assert let_go.wait(DEADLINE_S)

    monkeypatch.setattr(process, "_keep", keep_and_linger)
    monkeypatch.setattr(main, "complain", lambda _: threading.Timer(0.05, let_go.set).start())
    process.run()
    assert bot.done == ["left", f"drained in {main.LEAVE_S:g} s"]


@pytest.mark.parametrize(("url", "token", "is_told"), [(PLACE.url, "token", False), (PLACE.url, "new", True)])
def test_a_token_that_has_changed_is_told_at_a_reload(
    url: str, token: str, *, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The bot goes on with the one that it has, and the gateway may not take that any more."""
    config = BotsConfig(wecom_bot_id="bot", wecom_secret="secret")
    process = main._Running(bot_of("wecom", config, PLACE), PLACE, lambda: (config, GatewayAddress(url, token)))
    with caplog.at_level("INFO"):
        process._read_again()
    assert caplog.messages[0] == "configuration read again: nothing changed"
    assert ("needs a restart" in caplog.text) is is_told
    assert token not in caplog.text or token == "token"


def no_config() -> Any:
    """Read a configuration that has a mistake."""
    raise ConfigError("bots.x: unknown key")


def test_many_hangups_are_one_reading_and_delay_no_end(caplog: pytest.LogCaptureFixture) -> None:
    bot: Any = SimpleNamespace(wire=None)
    running = main._Running(bot, PLACE, no_config)
    for _ in range(1000):
        running._take(signal.SIGHUP, None)
    running._take(signal.SIGTERM, None)
    items = [running._inbox.get() for _ in range(running._inbox.qsize())]
    assert items == [signal.SIGHUP, signal.SIGTERM]
    running._read_again()
    assert "was not read again" in caplog.text
    running._take(signal.SIGHUP, None)
    assert running._inbox.get_nowait() == signal.SIGHUP, "one that comes behind a reading is not lost"
