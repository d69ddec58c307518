"""A session as JSON in pieces, so that a reader holds one piece and not a copy of the whole.

A session may be 17 MiB, and each of a hundred slow or idle readers would keep a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

import msgspec
from msgspec import Raw

from clawgate.sessions import Message, Session, turns_of
from clawgate.web.api.answers import SessionView

PIECE_BYTES = 1 << 16


def transcript(session: Session, digest: str) -> Iterator[bytes]:
    """Yield a session's view as one JSON object."""
    return _gathered(_pieces(session, digest))


def _pieces(session: Session, digest: str) -> Iterator[bytes]:
    view = SessionView(
        session_id=session.session_id,
        messages=[],
        turns=len(turns_of(session.messages)),
        digest=digest,
        created_at=_rfc3339(session.created_at),
        last_active=_rfc3339(session.last_active),
        streaming=session.run_id is not None,
        run_id=session.run_id,
    )
    before, after = msgspec.json.encode(view).split(b"[]", 1)
    yield before + b"["
    for index, message in enumerate(session.messages):
        if index:
            yield b","
        if message.memory_bytes() < PIECE_BYTES:
            yield msgspec.json.encode(message)
        else:
            yield from _members(message)
    yield b"]" + after


def _members(message: Message) -> Iterator[bytes]:
    """Write a long message as its type does: role, content and every other field that is not empty."""
    yield b'{"role":"%b"' % message.role.encode()
    for name in message.__struct_fields__[1:]:
        value = getattr(message, name)
        if value or name == "content":
            yield b',"%b":' % name.encode()
            yield from _value(value)
    yield b"}"


def _value(value: object) -> Iterator[bytes]:
    if isinstance(value, Raw):
        view = memoryview(value)
        for start in range(0, len(view), PIECE_BYTES):
            yield bytes(view[start : start + PIECE_BYTES])
    elif isinstance(value, str):
        yield b'"'
        for start in range(0, len(value), PIECE_BYTES):
            yield msgspec.json.encode(value[start : start + PIECE_BYTES])[1:-1]
        yield b'"'
    else:
        yield msgspec.json.encode(value)


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join short pieces, because each yielded piece is a write to the socket."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _rfc3339(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, timezone.utc).isoformat(timespec="milliseconds")
