"""The rules of the scripted WeCom, the codes of its refusals, and what people see there."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

CONTENT_BYTES = 20_480
OK, BUSY, TOO_OFTEN = (0, "ok"), (-1, "system busy"), (45009, "api freq out of limit")
UNKNOWN, EXPIRED = (846605, "invalid req_id"), (846608, "stream message update expired")
REQUEST_EXPIRED = (846604, "request expired")
CONFLICT = (6000, "more than one callers at the same time, data version conflict")
NOT_SUBSCRIBED, TOO_LONG = (846609, "aibot websocket not subscribed"), (40058, "content is too long")
DENIED = (853000, "signature is incorrect, please check if the bot secret is correct")
Answer = tuple[int, str]


@dataclass
class Rules:
    """What this WeCom does. A test changes them while it runs.

    ack_s: acknowledgements come so late; unacknowledged: so many of the next frames get none, but are taken.
    next_s: a bot may send the next frame of a req_id once the one before is acknowledged, or after so long.
    refusals: what the next frames of answers get, before anything else is looked at.
    stream_s: a stream older than that is expired. per_minute: more frames in one chat are refused; None: no limit.
    subscribe_s: two subscriptions closer than that are too often.
    is_silent: nothing is answered, and the connection stays. has_sticky_ids: a req_id outlives its connection.
    has_one_stream: a req_id takes no second stream. is_dull: an end that says what is there already ends nothing.
    """

    ack_s: float = 0.0
    unacknowledged: int = 0
    next_s: float = 5.0
    refusals: deque[Answer] = field(default_factory=deque)
    stream_s: float = 600.0
    per_minute: int | None = 30
    subscribe_s: float = 0.0
    is_silent: bool = False
    has_sticky_ids: bool = False
    has_one_stream: bool = False
    is_dull: bool = False


@dataclass
class Shown:
    """A message of the bot's as a person sees it. contents: each state of it; is_over: no more will come."""

    chat: str
    kind: str
    contents: list[str] = field(default_factory=list)
    is_over: bool = False
    began_at: float = 0.0

    @property
    def content(self) -> str:
        """What can be seen of it now; the bot ends some with a blank that takes no room."""
        return self.contents[-1].removesuffix("\n\n\u200b")
