"""The failures between a bot and its messenger.

BotError
├── Disconnected   the connection is gone, or cannot be made: it is made anew, with back-off
├── Denied         the messenger refuses the bot's id or secret
└── TakenOver      another bot with the same id has the connection now: this one stops
"""

from __future__ import annotations


class BotError(Exception):
    """The root; the message is one sentence for the operator."""


class Disconnected(BotError):
    """No connection.

    is_asked: the messenger asked for a new one. pause_s: the least time before it, where it came too often.
    """

    def __init__(self, message: str, *, is_asked: bool = False, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_asked = is_asked
        self.pause_s = pause_s


class Denied(BotError):
    """The id or the secret is wrong, or a permission is missing."""


class TakenOver(BotError):
    """Another one took the connection over."""
