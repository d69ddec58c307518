"""A WeCom bot without a gateway: the wire, the way out and the replies, on a connection of its own."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from types import TracebackType

from clawgate.bots.connection import Connection
from clawgate.bots.link import Times
from clawgate.bots.message import Message, Snapshot
from clawgate.bots.wecom.outbox import Outbox
from clawgate.bots.wecom.pacing import Pacing
from clawgate.bots.wecom.reply import WecomMessenger, WecomReply
from clawgate.bots.wecom.wire import WecomWire
from clawgate.bots.words import ZH
from tests.support.tools import DEADLINE_S
from tests.support.wecom import ScriptedWecom

QUICK = Times(tick_s=0.01, close_s=0.2, first_pause_s=0.02, longest_pause_s=0.05)
COMMANDS = {"停止", "stop", "继续"}


class Bot:
    """Stays connected to a scripted WeCom; a context manager. error: what its connection ended with."""

    def __init__(self, wecom: ScriptedWecom, secret: str = "s3cr3t", ack_s: float = 5.0, update_s: float = 0.0) -> None:
        self.messages: SimpleQueue[Message] = SimpleQueue()
        self.error: Exception | None = None
        self.pauses: list[float] = []
        self.outbox = Outbox(ack_s)
        self.messenger = WecomMessenger(self.outbox, Pacing(update_s), lambda: ZH, pause=self._pause)
        wire = WecomWire(
            wecom.url, "bot", secret, self.outbox, self.messages.put, "您好 {}".format, is_command=COMMANDS.__contains__
        )
        self.connection = Connection(wire, QUICK, self._pause_between)
        self._wecom = wecom
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep)

    def __enter__(self) -> Bot:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.outbox.close()
        self.connection.stop()
        self._thread.join(DEADLINE_S)

    def ended(self) -> Exception | None:
        """Wait until the connection is given up; return why."""
        assert self._ended.wait(DEADLINE_S)
        return self.error

    def hears(self, text: str, user: str = "zhang", group: str = "") -> Message:
        """Let a person write; return what arrives."""
        self._wecom.wait_subscribed()
        self._wecom.say(text, user, group)
        return self.messages.get(timeout=DEADLINE_S)

    def reply(self, text: str = "你好", user: str = "zhang", group: str = "") -> WecomReply:
        """Let a person write; return the place of the answer."""
        return self.messenger.reply_to(self.hears(text, user, group))

    def _keep(self) -> None:
        try:
            self.connection.keep()
        except Exception as error:  # noqa: BLE001  the test looks at it
            self.error = error
        self._ended.set()

    def _pause(self, pause_s: float) -> None:
        self._ended.wait(min(pause_s, 0.01))

    def _pause_between(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self._ended.wait(0.01)


def over(text: str, remark: str = "", thinking: str = "") -> Snapshot:
    """A whole answer."""
    return Snapshot(text, thinking=thinking, remark=remark, is_over=True)
