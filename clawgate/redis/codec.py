"""Sessions as the fields of a hash in Redis: their messages are compressed JSON, the rest is numbers and ids.

A value comes back as it was: the same texts, and where a text's JSON was kept as it came, the same JSON.

zlib at level 1 leaves 35–40 % of a dialogue in German or Chinese and of code, in some 6 µs a KiB; level 6 leaves 3–4 %
less and takes two to four times as long. Base64 has nothing that repeats: without a search for it, pictures take a
quarter of the time (6 ms a MiB) and 75 % of their size.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from clawgate.sessions import Dropped, Message, Session
from clawgate.sessions.message import Role
from clawgate.sessions.session import Trimmed

FORMAT = "1"
"""The format of a record. One of another format is as good as none, so it changes with anything that is kept."""
FIELDS = ("format", "version", "run", "last_run", "created", "active", "sizes", "messages", "untrimmed")
"""The fields of a session as `session_of` takes them; those of its texts have the numbers of parts that follow."""
SHORT_BYTES = 1 << 14
"""A longer value stays JSON, a view of its session's: a `str` with one emoji takes four bytes a character."""
PART_BYTES = 1 << 20
"""The time-out of a socket is for a whole argument, so a long one goes in parts."""
LEVEL = 1
MOST_TIMES = 1032
"""Deflate makes nothing smaller than this part of it."""


class Damaged(Exception):
    """A record cannot be read."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A message whose values have yet to be decoded."""

    role: Role
    content: Raw
    thinking: Raw = Raw()
    images: Raw = Raw()
    tool_calls: Raw = Raw()
    tool_name: Raw = Raw()
    tool_call_id: Raw = Raw()
    interrupted: bool = False
    refused: bool = False


_messages = msgspec.json.Decoder(tuple[Message, ...])
_kept = msgspec.json.Decoder(list[_Kept])
_text = msgspec.json.Decoder(str)
_images = msgspec.json.Decoder(tuple[str, ...])
_tool_calls = msgspec.json.Decoder(tuple[dict[str, Any], ...])


def packed(messages: Sequence[Message], *, are_pictures: bool) -> Sequence[bytes | memoryview]:
    """Compress messages.

    Shape: parts of `PART_BYTES`, at least one. are_pictures: most of it is.
    """
    strategy = zlib.Z_HUFFMAN_ONLY if are_pictures else zlib.Z_DEFAULT_STRATEGY
    compressor = zlib.compressobj(LEVEL, strategy=strategy)
    data = compressor.compress(msgspec.json.encode(messages)) + compressor.flush()
    if len(data) <= PART_BYTES:
        return [data]  # no view: the client sends each of those by itself, and what stands around it too
    view = memoryview(data)
    return [view[start : start + PART_BYTES] for start in range(0, len(view), PART_BYTES)]


def unpacked(parts: Sequence[bytes | None], about_bytes: int = 0) -> tuple[Message, ...]:
    """Decompress messages.

    about_bytes: the size of their JSON, roughly: an output that has to grow takes three times its size meanwhile.
    Errors: Damaged.
    """
    try:
        data = b"".join(part or b"" for part in parts)
        room = min(about_bytes + about_bytes // 64, MOST_TIMES * len(data))
        whole = zlib.decompress(data, bufsize=max(room, zlib.DEF_BUF_SIZE))
        if len(whole) <= SHORT_BYTES:
            messages = _messages.decode(whole)
            if msgspec.json.encode(messages) == whole:
                return messages
        return tuple(map(_message_of, _kept.decode(whole)))
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(str(error)) from error


def sizes_of(kept: Trimmed) -> str:
    """Write the sizes of what is kept, and what was dropped."""
    return " ".join(map(str, (kept.size_bytes, kept.image_bytes, *kept.dropped)))


def session_of(session_id: str, given: Sequence[bytes | None]) -> Session:
    """Read the fields of a session and the parts of its texts.

    Errors: Damaged.
    """
    _, version, run, last_run, created, active, sizes, count, _ = given[: len(FIELDS)]
    try:
        size_bytes, image_bytes, turns, images = map(int, (sizes or b"").split())
        end = len(FIELDS) + int(count or b"")
        if end > len(given):
            raise Damaged(f"{count!r} parts")
        return Session(
            session_id=session_id,
            messages=unpacked(given[len(FIELDS) : end], size_bytes + image_bytes),
            created_at=seconds_of(created),
            last_active=seconds_of(active),
            size_bytes=size_bytes,
            image_bytes=image_bytes,
            dropped=Dropped(turns, images),
            run_id=name_of(run),
            last_run_id=name_of(last_run),
            version=int(version or b""),
            untrimmed=unpacked(given[end:]) if len(given) > end else (),
        )
    except ValueError as error:
        raise Damaged(str(error)) from error


def seconds_of(microseconds: bytes | None) -> float:
    """Read a moment.

    Errors: ValueError.
    """
    return int(microseconds or b"") / 1e6


def name_of(run: bytes | None) -> str | None:
    """Read a run's id; None where there is none.

    Errors: ValueError.
    """
    return run.decode("ascii") if run else None


def _message_of(kept: _Kept) -> Message:
    return Message(
        role=kept.role,
        content=_value_of(kept.content, _text, ""),
        thinking=_value_of(kept.thinking, _text, ""),
        images=_value_of(kept.images, _images, ()),
        tool_calls=_value_of(kept.tool_calls, _tool_calls, ()),
        tool_name=_value_of(kept.tool_name, _text, ""),
        tool_call_id=_value_of(kept.tool_call_id, _text, ""),
        interrupted=kept.interrupted,
        refused=kept.refused,
    )


def _value_of(json: Raw, decoder: msgspec.json.Decoder[Any], empty: Any) -> Any:
    """Decode a short value whose JSON says no more than the value does: no other spelling, no longer number."""
    if not json:
        return empty
    if len(json) <= SHORT_BYTES:
        value = decoder.decode(json)
        if msgspec.json.encode(value) == memoryview(json):
            return value
    return json
