"""One message of a conversation, kept as the bytes that a client sent.

A text of 16 MiB with one emoji takes 64 MiB as a `str`, because each character then takes four bytes. So whatever may
be long stays the JSON that it was (`msgspec.Raw`) on its way to Ollama, to the store and back to a client, and is
decoded only where its characters are wanted. The text of an answer, which the gateway makes itself, is plain `str`.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Literal

import msgspec
from msgspec import Raw

Role = Literal["system", "user", "assistant", "tool"]
Text = str | Raw
"""A text: a `str`, or the JSON string that a client sent. A Raw is never empty: `""` stands for that."""

_RESPELT = re.compile(rb"\\[u/]")
"""The escapes that `JSON.stringify` does not write, or not always."""
RAW_BYTES = 100
"""A Raw takes so much beside its bytes. `sys.getsizeof` says 10**14 of it: msgspec names the size of its items, and has
none."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """One message: Ollama's own fields, and whether the assistant left it unfinished.

    Encoded as JSON it has role, content and what else is not empty; decoded from JSON, each text is a `str`.
    Source: Ollama docs/api.md, "Generate a chat completion", parameters of `messages`.
    """

    role: Role
    content: Text = msgspec.field(default_factory=str)  # a factory's default is encoded, too
    thinking: Text = ""
    images: tuple[str, ...] | Raw = ()
    tool_calls: tuple[dict[str, Any], ...] | Raw = ()
    tool_name: Text = ""
    tool_call_id: Text = ""
    interrupted: bool = False

    @property
    def text(self) -> str:
        """The content, decoded."""
        return text_of(self.content)

    @property
    def is_empty(self) -> bool:
        """True for what an answer leaves that was cut before it said anything, though it may have thought."""
        return not (self.content or self.images or self.tool_calls)

    @property
    def is_unfinished(self) -> bool:
        """True for an answer that can be continued."""
        return self.role == "assistant" and self.interrupted

    def for_ollama(self) -> Message:
        """Give it without the field that is not Ollama's."""
        return msgspec.structs.replace(self, interrupted=False) if self.interrupted else self

    def memory_bytes(self) -> int:
        """Count what it takes with its texts: in a `str` with an emoji each character takes four bytes."""
        kept = (self.content, self.thinking, self.tool_name, self.tool_call_id, self.images, self.tool_calls)
        return sys.getsizeof(self) + sum(_memory_of(value) for value in kept if value)


def text_of(text: Text) -> str:
    """Decode a text."""
    return text if isinstance(text, str) else msgspec.json.decode(text, type=str)


def json_of(text: Text) -> Raw:
    """Give a text as the JSON string that `JSON.stringify` writes: the shortest escapes, and only the necessary."""
    if isinstance(text, Raw) and not _RESPELT.search(text):
        return text
    return Raw(msgspec.json.encode(text_of(text)))


def join_texts(text: Text, more: Text) -> Text:
    """Append a text to another; two JSON strings without the quotes between them are one, whatever their escapes."""
    if isinstance(text, str) and isinstance(more, str):
        return text + more
    return Raw(b"".join((_json(text)[:-1], _json(more)[1:]))) if text and more else text or more


def join_lists(items: tuple[Any, ...] | Raw, more: tuple[Any, ...] | Raw) -> tuple[Any, ...] | Raw:
    """Append a list to another, by the same rule."""
    if isinstance(items, tuple) and isinstance(more, tuple):
        return items + more
    return Raw(b"".join((_json(items)[:-1], b",", _json(more)[1:]))) if items and more else items or more


def _json(value: object) -> memoryview:
    return memoryview(value if isinstance(value, Raw) else msgspec.json.encode(value))


def _memory_of(value: Text | tuple[Any, ...]) -> int:
    if isinstance(value, str):
        return sys.getsizeof(value)
    if isinstance(value, Raw):
        return RAW_BYTES + len(value)
    return sum(sys.getsizeof(each) if isinstance(each, str) else len(msgspec.json.encode(each)) for each in value)
