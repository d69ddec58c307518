"""How an answer has ended, where another API has no word for it: clawgate's one extension of that API's answers."""

from __future__ import annotations

from typing import Literal, cast

from msgspec import UNSET, UnsetType

from clawgate.web.door.responses import Payload

Early = Literal["interrupted", "superseded", "truncated"]
EARLY = ("interrupted", "superseded", "truncated")


class How(Payload, frozen=True):
    """How an answer ended that did not come to its own end: clawgate's extension."""

    done_reason: Early


def how_of(done_reason: str) -> How | UnsetType:
    """Say how an answer ended; nothing where that is an end that every API knows."""
    return How(cast("Early", done_reason)) if done_reason in EARLY else UNSET
