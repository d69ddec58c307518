"""Sessions, their messages, and the store that keeps them in bounds.

The relay is the only caller that writes; web/ reads.
"""

from __future__ import annotations

from clawgate.sessions.bounds import Bounds
from clawgate.sessions.memory import MemoryStore
from clawgate.sessions.message import Message, TextOrJson, text_of
from clawgate.sessions.session import (
    NO_HEAD,
    Counts,
    Dropped,
    Head,
    Overtaken,
    Session,
    SessionStore,
    digest_of,
    join_answer,
    prompt_of,
    size_of,
    trimmed,
    turns_of,
    with_answer,
)

__all__ = [
    "NO_HEAD",
    "Bounds",
    "Counts",
    "Dropped",
    "Head",
    "MemoryStore",
    "Message",
    "Overtaken",
    "Session",
    "SessionStore",
    "TextOrJson",
    "digest_of",
    "join_answer",
    "prompt_of",
    "size_of",
    "text_of",
    "trimmed",
    "turns_of",
    "with_answer",
]
