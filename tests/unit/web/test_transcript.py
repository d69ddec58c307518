"""The pieces of a session are its JSON, and no piece is much longer than the others."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from clawgate.sessions import Message, Session, digest_of
from clawgate.web.api.transcript import PIECE_BYTES, transcript

LONG = '"\\\n\u2028\0🙂春a' * 20_000
CALLS = ({"function": {"name": "f"}},)


def raw(value: Any) -> Raw:
    """Return a value as it is kept."""
    return Raw(json.dumps(value).encode())


HISTORIES: dict[str, tuple[Message, ...]] = {
    "nothing": (),
    "short": (Message(role="user", content="q"), Message(role="assistant", interrupted=True, thinking="hm")),
    "a long answer": (Message(role="user", content="q"), Message(role="assistant", content=LONG, thinking=LONG)),
    "a long question": (Message(role="user", content=raw(LONG)), Message(role="assistant", tool_calls=CALLS)),
    "nothing but thinking": (Message(role="assistant", thinking=LONG, tool_calls=CALLS, interrupted=True),),
    "images": (Message(role="user", images=raw([LONG, LONG])), Message(role="tool", tool_name=raw(LONG))),
    "many": tuple(Message(role="user", content=str(number)) for number in range(10_000)),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_the_pieces_are_the_whole(name: str) -> None:
    messages = HISTORIES[name]
    session = Session(session_id="s-1", messages=messages, created_at=0, last_active=1.5, run_id="r")
    pieces = list(transcript(session, digest_of(session.messages)))
    view = json.loads(b"".join(pieces))
    assert view["messages"] == json.loads(msgspec.json.encode(messages))
    del view["messages"]
    assert view == {
        "session_id": "s-1",
        "turns": sum(message.role == "user" for message in messages),
        "digest": digest_of(messages),
        "created_at": "1970-01-01T00:00:00.000+00:00",
        "last_active": "1970-01-01T00:00:01.500+00:00",
        "streaming": True,
        "run_id": "r",
    }
    assert max(map(len, pieces)) < 6 * PIECE_BYTES
    assert len(pieces) <= sum(map(len, pieces)) // PIECE_BYTES + 1, "none is short but the last"
