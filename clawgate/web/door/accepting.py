"""Which form of an answer a client takes, by its `Accept`. Source: RFC 9110, 12.5.1."""

from __future__ import annotations

from flask import Request

EVENT_STREAM = "text/event-stream"


def takes(request: Request, mimetype: str) -> bool:
    """Tell whether a client takes this type; without an `Accept` it takes any."""
    accepted = request.accept_mimetypes
    return not request.headers.get("Accept", "").strip() or accepted.quality(mimetype) > 0
