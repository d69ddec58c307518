"""The bounds of sessions, of each alone and of all together: what a store keeps to, whatever it keeps them in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from clawgate.errors import TooLarge
from clawgate.sessions.message import Message
from clawgate.sessions.session import Session, Trimmed, size_of, trimmed


class Bounds(NamedTuple):
    """The limits of the store.

    max_context_bytes, max_image_bytes: a session's text and its pictures are trimmed to these, but for its system
    messages and its last turn.
    max_body_bytes: the largest request, for which there is room above each of the two; a session that would grow
    further is refused.
    """

    max_sessions: int
    ttl_s: float
    max_context_bytes: int
    max_image_bytes: float = math.inf
    max_body_bytes: float = math.inf

    def trim(self, messages: Sequence[Message]) -> Trimmed:
        """Bring the messages of one session within its bounds."""
        return trimmed(messages, self.max_context_bytes, self.max_image_bytes)

    def check(self, session: Session, more: Sequence[Message]) -> None:
        """Check that a session has room for more messages.

        Errors: TooLarge where trimming would leave more than one session may hold.
        """
        most = self.max_context_bytes + self.max_body_bytes
        most_images = self.max_image_bytes + self.max_body_bytes
        size_bytes = session.size_bytes + sum(map(size_of, more))
        image_bytes = session.image_bytes + sum(message.image_bytes for message in more)
        if size_bytes <= most and image_bytes <= most_images:
            return
        kept = self.trim((*session.messages, *more))
        if kept.size_bytes > most or kept.image_bytes > most_images:
            raise TooLarge(
                f"message: expected a session of at most {most} bytes and {most_images} of pictures, got one that "
                "grows beyond: system messages and the last turn are never dropped; begin a new session"
            )
