"""A session as a value: its messages, its digest, its trimming, and what a store of sessions must do.

Everything here is pure and frozen, so that values cross threads (and, behind another store, processes) as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple, Protocol

import msgspec

from clawgate.sessions.message import Message, join_lists, join_texts, json_of
from clawgate.sessions.refusal import asked_again, last_turn_of, refused_from, with_refusal


class Dropped(NamedTuple):
    """The losses of a session by trimming: whole turns, and pictures of the turns that stay."""

    turns: int = 0
    images: int = 0

    def and_then(self, more: Dropped) -> Dropped:
        """Return the sum."""
        return Dropped(self.turns + more.turns, self.images + more.images)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The messages under one id.

    dropped: what the last trimming took; that of an owned session was told by its run's start event.
    run_id: the run in flight, which owns the session: it alone may settle. last_run_id: that, or the last one.
    version: it rises whenever a run begins or settles, and is never the same for two sessions under one id.
    untrimmed: all messages, where the question of the run in flight has pushed some out: they come back where Ollama
    refuses it. The run's prompt holds them anyway.
    Units: created_at and last_active are seconds since the epoch; size_bytes is the size of the messages' JSON without
    their pictures, image_bytes that of the pictures.
    """

    session_id: str
    messages: tuple[Message, ...]
    created_at: float
    last_active: float
    size_bytes: int = 0
    image_bytes: int = 0
    dropped: Dropped = Dropped()
    run_id: str | None = None
    last_run_id: str | None = None
    version: int = 0
    untrimmed: tuple[Message, ...] = ()

    @property
    def untold(self) -> Dropped:
        """The losses since the last start event: those at the end of its answer."""
        return self.dropped if self.run_id is None else Dropped()


class Head(NamedTuple):
    """The state of a session without its messages: its owner, where a run is in flight, and its version."""

    run_id: str | None
    version: int


NO_HEAD = Head(None, 0)
"""The head of a session that does not exist."""


class Overtaken(Exception):
    """The session is not as it was read: a run has begun or settled in another process meanwhile. Read it again."""


class Counts(NamedTuple):
    """The counts of a store: the sessions that it keeps now, and those that it has lost since its start.

    evicted: those that were the least recently used; expired: those that nobody had used for too long.
    trimmed: the turns and pictures that sessions have lost by trimming.
    Units: text_bytes and image_bytes are the memory of the idle sessions.
    """

    idle: int
    in_flight: int
    text_bytes: int
    image_bytes: int
    evicted: int
    expired: int
    trimmed: Dropped


class SessionStore(Protocol):
    """The store, as the relay knows it. A run owns its session from `begin` to `settle`, or to the next run's `begin`.

    Threads: any thread may call. The relay calls `begin`, `settle` and `delete` for one session one after the other;
    other processes may call them for the same session at any moment.
    Errors: SessionStoreUnavailable from every method but `check`, `settle` and `counts`, where another machine keeps
    the sessions and cannot be asked.
    """

    @property
    def is_available(self) -> bool:
        """False while the store cannot be asked."""

    def get(self, session_id: str) -> Session | None:
        """Return the session and count that as a use; None when it does not exist (any more)."""

    def has(self, session_id: str) -> bool:
        """Tell whether a session exists, without counting that as a use."""

    def head(self, session_id: str) -> Head:
        """Return a session's owner and version without counting that as a use; NO_HEAD where it does not exist."""

    def check(self, session: Session, more: Sequence[Message]) -> None:
        """Check that a session has room for more messages, before anything is changed.

        Errors: TooLarge where trimming would leave more than one session may hold.
        """

    def begin(self, session_id: str, run_id: str, messages: Sequence[Message], seen: int | None = None) -> Session:
        """Make run_id the owner and messages the context, creating the session where it is new.

        An earlier owner is replaced in the same step: the session is never without one.

        seen: the version of the session that the messages were made from, 0 for one that did not exist; None for
        whatever there is.
        Errors: Overtaken, and nothing is written, where the session has another version by now.
        """

    def settle(self, session_id: str, run_id: str, answer: Message) -> bool:
        """Append the run's answer and end its ownership; False (and nothing written) when it is not the owner.

        A store that cannot be asked keeps the answer, and writes it as soon as it can; it returns True then.
        """

    def delete(self, session_id: str) -> bool:
        """Delete the session, with or without an owner; False when it does not exist."""

    def counts(self) -> Counts:
        """Return what the store keeps, and what it has lost."""


def join_answer(messages: Sequence[Message], answer: Message) -> tuple[Message, ...]:
    """Append the assistant's answer, or lengthen the unfinished message that it continues.

    A trailing assistant message means that the run was asked to continue it: Ollama sent only the continuation.
    Thinking that was cut before any text cannot be continued: new thinking takes its place.
    An answer that is refused itself stands for the refusal: the question is marked, and nothing is appended. A refused
    question that was asked again keeps its mark until Ollama has said something.
    """
    if answer.refused:
        return with_refusal(messages)
    if refused_from(messages) < len(messages):
        if answer.is_blank and not answer.thinking:
            return tuple(messages)
        messages = asked_again(messages)
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


def with_answer(session: Session, answer: Message) -> tuple[Message, ...]:
    """Return a session's messages and its run's answer; a question that is refused has pushed nothing out."""
    return join_answer((session.untrimmed if answer.refused else ()) or session.messages, answer)


def prompt_of(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages for the model: all but interrupted answers without any text, and refused questions.

    Thinking alone does not count as text, because it cannot be continued. A refused question at the end is among them:
    it is being asked again.
    """
    return tuple(message for message in asked_again(messages) if not (message.is_blank or message.refused))


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
    """The messages that are kept, their sizes as a `Session` has them, and what was dropped."""

    messages: tuple[Message, ...]
    size_bytes: int
    image_bytes: int
    dropped: Dropped


def trimmed(messages: Sequence[Message], max_bytes: float, max_image_bytes: float) -> Trimmed:
    """Drop refused turns and then the oldest until the text fits, and pictures in that order until those fit.

    System messages and the last turn stay whole, whatever their size. A refused turn at the end is beside the limits:
    until the next question it takes nothing from the others. The pictures of one message go together, since its text
    speaks of them together; the text stays, even an empty one, so that the turns do not shift.

    Units: bytes of the messages' own JSON.
    """
    kept, size_bytes, dropped_turns = _within(messages, max_bytes)
    image_bytes, dropped_images = _drop_images(kept, max_image_bytes)
    return Trimmed(tuple(kept), size_bytes, image_bytes, Dropped(dropped_turns, dropped_images))


def _drop_images(kept: list[Message], max_bytes: float) -> tuple[int, int]:
    """Take pictures off messages; return the size of those that stay, and the number of those that go."""
    sizes = [message.image_bytes for message in kept]
    total = sum(sizes)
    if total <= max_bytes:
        return total, 0
    max_bytes += sum(sizes[refused_from(kept) :])
    dropped = 0
    with_images = [at for at in range(last_turn_of(kept)) if sizes[at] and kept[at].role != "system"]
    for index in sorted(with_images, key=lambda index: not kept[index].refused):
        if total > max_bytes:
            dropped += kept[index].image_count
            total -= sizes[index]
            kept[index] = kept[index].without_images()
    return total, dropped


def _within(messages: Sequence[Message], max_bytes: float) -> tuple[list[Message], int, int]:
    """Return the messages that stay, their size, and the number of turns that go."""
    sizes = [size_of(message) for message in messages]
    total = sum(sizes)
    if total <= max_bytes:
        return list(messages), total, 0
    max_bytes += sum(sizes[refused_from(messages) :])
    stays = [True] * len(messages)
    last = last_turn_of(messages)
    starts = turns_of(messages)
    refused = [range(at, at + 1 + messages[at + 1].is_blank) for at in range(last) if messages[at].refused]
    for going in chain(refused, (range(start, end) for start, end in pairwise([0, *starts[1:], last]))):
        if total <= max_bytes:
            break
        for index in going:
            if stays[index] and messages[index].role != "system":
                stays[index] = False
                total -= sizes[index]
    kept = [message for message, is_kept in zip(messages, stays, strict=True) if is_kept]
    return kept, total, sum(not stays[start] for start in starts)


def size_of(message: Message) -> int:
    """Return the size of a message's JSON without its pictures, which are not looked at."""
    return len(msgspec.json.encode(message.without_images()))
