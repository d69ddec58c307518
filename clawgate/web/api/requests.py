"""The body of `POST /api/interrupt`."""

from __future__ import annotations

import msgspec

from clawgate.errors import BadRequest
from clawgate.web.door.naming import EXPECTED, SessionId
from clawgate.web.door.reading import Members
from clawgate.web.door.shapes import Fields, Shape

INTERRUPT_BYTES = 4 << 10


class InterruptBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /api/interrupt."""

    session_id: SessionId | None = None
    run_id: SessionId | None = None


INTERRUPT = Shape(InterruptBody)


def read_interrupt(given: Members) -> InterruptBody:
    """Check the body of POST /api/interrupt.

    Errors: BadRequest.
    """
    body = InterruptBody(**INTERRUPT.read(given, "", Fields({"session_id": EXPECTED, "run_id": EXPECTED})))
    if body.session_id is None and body.run_id is None:
        raise BadRequest("session_id: expected the session to interrupt (or a run_id), got neither")
    return body
