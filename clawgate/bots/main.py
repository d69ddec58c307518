"""`clawgate bot dingtalk` and `clawgate bot wecom`: a bot from its start to its end.

The main thread waits for signals, one thread keeps the connection, and the conversations have theirs. SIGTERM and
SIGINT end the answers with what they have and leave; a second one does not wait for that. SIGHUP reads the
configuration again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING

from clawgate.bots.assembly import Bot, GatewayAddress, bot_of
from clawgate.bots.connection import Connection
from clawgate.bots.failures import BotError, Denied, TakenOver
from clawgate.bots.lock import Lock, Running
from clawgate.console import complain, say
from clawgate.errors import ConfigError

if TYPE_CHECKING:
    from clawgate.config.bots import BotsConfig

logger = logging.getLogger(__name__)

DRAIN_S = 15.0
"""So long the answers' last messages may take after a signal."""
LEAVE_S = 5.0
NOT_READY, WRONG, ANOTHER = 1, 2, 3
"""The exit statuses: a service manager starts the bot again only after the first."""
ENDINGS = (signal.SIGTERM, signal.SIGINT)
Reload = Callable[[], "tuple[BotsConfig, GatewayAddress]"]


def run(name: str, config: BotsConfig, place: GatewayAddress, reload: Reload) -> int:
    """Run a messenger's bot until a signal or another bot ends it; return the exit status.

    reload: reads the configuration again; raises ConfigError.
    Errors: ConfigError where the bot's id or its secret is missing, or the gateway's address is none.
    """
    bot = bot_of(name, config, place)
    try:
        with Lock(name, *bot.account):
            return _Running(bot, place, reload).run()
    except Running:
        complain(f"another bot with this {bot.kind.id_name} runs on this machine; stop it first")
        return ANOTHER


class _Running:
    """A bot that runs.

    Threads: the main one; the reading one puts the end of the connection into the inbox, and signals their numbers.
    """

    def __init__(self, bot: Bot, place: GatewayAddress, reload: Reload) -> None:
        self._bot = bot
        self._place = place
        self._reload = reload
        self._connection = Connection(bot.wire, on_open=self._tell)
        self._inbox: SimpleQueue[int | BotError | None] = SimpleQueue()
        self._is_told = False
        self._is_leaving = False
        self._is_to_read = False

    def run(self) -> int:
        for number in (*ENDINGS, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # as nohup sets it
                signal.signal(number, self._take)
        reader = threading.Thread(target=self._keep, name="connection", daemon=True)
        reader.start()
        while (item := self._inbox.get()) == signal.SIGHUP:
            self._read_again()
        status = 0
        if isinstance(item, BotError):
            complain(str(item))
            status = {Denied: WRONG, TakenOver: ANOTHER}.get(type(item), NOT_READY)
        self._is_leaving = True
        is_kept = isinstance(item, int) and reader.is_alive()  # the thread tells of its end before it ends
        if is_kept:
            self._connection.hurry()
        else:
            self._bot.leave()
        if not self._bot.conversations.drain(DRAIN_S if is_kept else LEAVE_S):
            logger.warning("not every answer could be delivered in time")
        self._connection.stop()
        reader.join(LEAVE_S)
        return status

    def _keep(self) -> None:
        try:
            self._connection.keep()
            self._inbox.put(None)
        except BotError as error:
            self._inbox.put(error)
        except Exception as error:  # a fault of ours: the service manager starts the bot again
            logger.exception("the connection's thread ended")
            self._inbox.put(BotError(f"an internal error ended the connection: {type(error).__name__}"))

    def _tell(self) -> None:
        """Tell of the first connection on stdout, for people and scripts; the log has each one."""
        logger.info("connected to %s", self._bot.kind.title)
        if not self._is_told:
            self._is_told = True
            say(f"Bot connected to {self._bot.kind.title}")

    def _read_again(self) -> None:
        self._is_to_read = False
        try:
            config, place = self._reload()
        except ConfigError as error:
            logger.error("the configuration was not read again: %s", error)
            return
        for line in self._bot.adopt(config):
            logger.info("%s", line)
        if place != self._place:
            logger.info("the gateway's address or token is another now: that needs a restart of the bot, too")

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._is_leaving and number in ENDINGS:
            os._exit(128 + number)
        if number == signal.SIGHUP:
            if self._is_to_read:  # one reading does for all, so that the end waits behind one alone
                return
            self._is_to_read = True
        self._inbox.put(number)
