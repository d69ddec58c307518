"""The places from which a client wants to read on, and the key by which it says that it asks again.

Source: WHATWG HTML, 9.2 "Server-sent events", `Last-Event-ID`; draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import re

from flask import Request

from clawgate.errors import BadRequest
from clawgate.relay.following import Place

LAST_EVENT_ID = "Last-Event-ID"
IDEMPOTENCY_KEY = "Idempotency-Key"
PLACE_ID = re.compile(r"([A-Za-z0-9_-]{1,128}):([0-9]{1,15})")
KEY = re.compile(r"[!-~]{16,255}")
NOWHERE = Place("", 0)
"""The place of a reader whose event id is none of ours."""


def place_of(request: Request) -> Place | None:
    """Return the place that a request names by its header, or else in its query; None where it names none.

    The header wins: an EventSource that connects anew sends it, to the address that it had at first.

    Errors: BadRequest for a query that is no event's id.
    """
    after = request.args.get("after")
    named = _place(after) if after else None
    if named is NOWHERE:
        raise BadRequest("after: expected the id of an event, as the stream gives it")
    given = request.headers.get(LAST_EVENT_ID)
    return _place(given) if given else named


def run_place_of(request: Request) -> Place | None:
    """Return the place that a repeated question names; None where it is a new one.

    Errors: BadRequest for what is no event's id: a new answer would not be what the client is waiting for.
    """
    given = request.headers.get(LAST_EVENT_ID)
    place = _place(given) if given else None
    if place is NOWHERE:
        raise BadRequest(f"{LAST_EVENT_ID}: expected the id of an event, as the stream gives it")
    return place


def key_of(request: Request) -> str | None:
    """Return the key of a question; None where it has none.

    Errors: BadRequest. A short key is refused, because two clients might come upon the same.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not KEY.fullmatch(key):
        raise BadRequest(f"{IDEMPOTENCY_KEY}: expected 16 to 255 visible ASCII characters, such as a UUID")
    return key


def _place(given: str) -> Place:
    match = PLACE_ID.fullmatch(given)
    return Place(match[1], int(match[2])) if match else NOWHERE
