"""A session as a value: its messages, its digest, its trimming, and what a store of sessions must do.

Everything here is pure and frozen, so that values cross threads (and, behind another store, processes) as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from clawgate.sessions.message import Message, join_lists, join_texts, json_of


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The messages under one id.

    run_id: the run in flight, which owns the session: it alone may settle.
    Units: created_at and last_active are seconds since the epoch; size_bytes is the size of the messages' JSON.
    """

    session_id: str
    messages: tuple[Message, ...]
    created_at: float
    last_active: float
    size_bytes: int = 0
    run_id: str | None = None


class SessionStore(Protocol):
    """The store, as the relay knows it. A run owns its session from `begin` to `settle`, or to the next run's `begin`.

    Threads: any thread may call. The relay calls `begin`, `settle` and `delete` for one session one after the other.
    """

    def get(self, session_id: str) -> Session | None:
        """Return the session and count that as a use; None when it does not exist (any more)."""

    def check(self, session: Session, more: Sequence[Message]) -> None:
        """Check that a session has room for more messages, before anything is changed.

        Errors: TooLarge where trimming would leave more than one session may hold.
        """

    def begin(self, session_id: str, run_id: str, messages: Sequence[Message]) -> Session:
        """Make run_id the owner and messages the context, creating the session where it is new.

        An earlier owner is replaced in the same step: the session is never without one.
        """

    def settle(self, session_id: str, run_id: str, answer: Message) -> bool:
        """Append the run's answer and end its ownership; False (and nothing written) when it is not the owner."""

    def delete(self, session_id: str) -> bool:
        """Delete the session, with or without an owner; False when it does not exist."""


def join_answer(messages: Sequence[Message], answer: Message) -> tuple[Message, ...]:
    """Append the assistant's answer, or lengthen the unfinished message that it continues.

    A trailing assistant message means that the run was asked to continue it: Ollama sent only the continuation.
    Thinking that was cut before any text cannot be continued: new thinking takes its place.
    """
    if not messages or messages[-1].role != "assistant":
        return (*messages, answer)
    base = messages[-1]
    joined = msgspec.structs.replace(
        answer,
        content=join_texts(base.content, answer.content),
        thinking=join_texts(base.thinking, answer.thinking) if base.content else answer.thinking or base.thinking,
        tool_calls=join_lists(base.tool_calls, answer.tool_calls),
    )
    return (*messages[:-1], joined)


def prompt_of(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages for the model: all but interrupted answers without any text.

    Thinking alone does not count as text, because it cannot be continued.
    """
    return tuple(message for message in messages if not (message.is_unfinished and message.is_empty))


def turns_of(messages: Sequence[Message]) -> list[int]:
    """Return the index at which each turn begins; a turn is a user message and the messages up to the next one."""
    return [index for index, message in enumerate(messages) if message.role == "user"]


def digest_of(messages: Sequence[Message]) -> str:
    """Hash the last three turns, so that a client can tell whether its history and the gateway's are the same.

    Shape: hex SHA-256 of the compact UTF-8 JSON `[[role, content], …]`, as `JSON.stringify` writes it.
    """
    starts = turns_of(messages)
    first = starts[-3] if len(starts) >= 3 else (starts[0] if starts else len(messages))
    digest = hashlib.sha256(b"[")
    comma = b""
    for message in messages[first:]:
        if message.role != "system":
            digest.update(b'%b["%b",' % (comma, message.role.encode()))
            digest.update(json_of(message.content))  # a long Raw is not copied
            digest.update(b"]")
            comma = b","
    digest.update(b"]")
    return digest.hexdigest()


class Trimmed(NamedTuple):
    """The messages that are kept, and the size of their JSON."""

    messages: tuple[Message, ...]
    size_bytes: int


def trimmed(messages: Sequence[Message], max_bytes: int) -> Trimmed:
    """Drop the oldest turns until the rest fits; system messages and the last turn stay, whatever their size.

    Units: bytes of the messages' own JSON.
    """
    sizes = [size_of(message) for message in messages]
    total = sum(sizes)
    starts = turns_of(messages)
    last = starts[-1] if starts else 0
    kept_from = 0
    for start in [*starts[1:], last]:
        if total <= max_bytes or kept_from >= last:
            break
        dropped = range(kept_from, start)
        total -= sum(sizes[index] for index in dropped if messages[index].role != "system")
        kept_from = start
    system = [message for message in messages[:kept_from] if message.role == "system"]
    return Trimmed((*system, *messages[kept_from:]), total)


def size_of(message: Message) -> int:
    """Return the size of a message's JSON."""
    return len(msgspec.json.encode(message))
