"""A bot's conversations in front of a test's gateway, with a messenger that records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clawgate.bots.conversations import Conversations
from clawgate.bots.message import Message, Snapshot
from clawgate.bots.talk import Identity, Rules
from clawgate.bots.words import ZH
from clawgate.client import Gateway
from tests.support.messenger import RecordingMessenger
from tests.support.tools import wait_for

RULES = Rules(ZH, ("停止", "stop"), ("继续",), ("/new",))
IDENTITY = Identity("dingtalk", "bot-1", "a secret")
MINE = IDENTITY.session_id_of(("chat-1", "user-1"))
"""The session of the messenger's usual person."""


class Bot:
    """Conversations, and the messenger that they talk to."""

    def __init__(self, url: str, token: str | None = None, *, rules: Rules = RULES, due_s: float | None = 0.0) -> None:
        self.messenger = RecordingMessenger(due_s)
        self.conversations = Conversations(self.messenger, Gateway(url, token), rules, IDENTITY)

    def say(self, text: str, user: str = "user-1") -> Message:
        """Have a person write."""
        message = self.messenger.message(text, user)
        self.take(message)
        return message

    def take(self, message: Message) -> None:
        """Take a message, as a wire does."""
        assert self.conversations.take(message)

    def ask(self, text: str, user: str = "user-1") -> Snapshot:
        """Have a person write, and wait for the whole answer."""
        return self.final_of(self.say(text, user))

    def final_of(self, message: Message) -> Snapshot:
        """Wait for the whole answer to a message."""
        return self.messenger.final_of(message)


@contextmanager
def bot_of(url: str, token: str | None = None, *, rules: Rules = RULES, due_s: float | None = 0.0) -> Iterator[Bot]:
    """Run a bot, which has nothing in hand at the end."""
    bot = Bot(url, token, rules=rules, due_s=due_s)
    yield bot
    bot.messenger.go.set()
    assert bot.conversations.drain(10)
    wait_for(lambda: bot.conversations.count == 0, "nothing is in hand")
