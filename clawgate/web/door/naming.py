"""The ids that a request names: its session's, in the body or in `X-Session-Id`, and a run's.

A session that is named is noted at once, so that a refusal echoes it in `X-Session-Id` too.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from flask import g, request
from msgspec import Meta, Raw

from clawgate.errors import BadRequest
from clawgate.web.door.reading import Members

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
SessionId = Annotated[str, Meta(pattern=rf"\A{SESSION_ID.pattern}\Z")]
SESSION_HEADER = "X-Session-Id"
EXPECTED = "1 to 128 letters, digits, _ or -"
MAX_BYTES = 1 << 10


def session_id_in(given: Members) -> str | None:
    """Return the session that a body names, and note it, even where the rest of the body is wrong; else None."""
    try:
        named = _text(given["session_id"])
    except (KeyError, BadRequest):
        return None
    if named is not None:
        g.session_id = named
    return named


def named_session(given: Members) -> str | None:
    """Return the session that the body or the header `X-Session-Id` names, and note it; None where neither does.

    Errors: BadRequest where one of them is no session's id, or where they differ.
    """
    in_body = _text(given["session_id"]) if "session_id" in given else None
    in_header = request.headers.get(SESSION_HEADER)
    if in_header is not None and not SESSION_ID.fullmatch(in_header):
        raise BadRequest(f"{SESSION_HEADER}: expected {EXPECTED}")
    if in_body is not None and in_header is not None and in_body != in_header:
        raise BadRequest(f"session_id: expected the session that {SESSION_HEADER} names, got another one")
    named = in_body or in_header
    if named is not None:
        g.session_id = named
    return named


def _text(value: Raw) -> str | None:
    """Decode a session's id; a null counts as absent.

    Errors: BadRequest.
    """
    try:
        named: Any = msgspec.json.decode(value, type=SessionId | None) if len(value) <= MAX_BYTES else ""
    except msgspec.DecodeError:
        named = ""
    if named == "":
        raise BadRequest(f"session_id: expected {EXPECTED}")
    return None if named is None else str(named)
