"""One message of a conversation, kept as the bytes that a client sent.

A text of 16 MiB with one emoji takes 64 MiB as a `str`, because each character then takes four bytes. A field that may
be long therefore stays JSON (`msgspec.Raw`) on its way to Ollama, to the store and back to a client; it is decoded only
where its characters are needed. The text of an answer, which the gateway makes itself, is a plain `str`.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Literal

import msgspec
from msgspec import Raw

Role = Literal["system", "user", "assistant", "tool"]
TextOrJson = str | Raw
"""A text: a `str`, or the JSON string that a client sent. A Raw is never empty: `""` stands for the empty text."""

_RESPELT = re.compile(rb"\\[u/]")
"""The escapes that `JSON.stringify` never or not always writes."""
RAW_BYTES = 100
"""A Raw takes this much beside its bytes. `sys.getsizeof` returns 10**14: msgspec declares an item size, and a Raw has
no items."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One message: Ollama's own fields, whether the assistant left it unfinished, and whether Ollama refused it.

    Its JSON has role, content and the other fields that are not empty; decoded from JSON, each text is a `str`. The
    collector of cycles leaves it out: JSON has none, and a history may have tens of thousands of messages.
    Source: Ollama docs/api.md, "Generate a chat completion", parameters of `messages`.
    """

    role: Role
    content: TextOrJson = msgspec.field(default_factory=str)  # a factory's default is encoded, too
    thinking: TextOrJson = ""
    images: tuple[str, ...] | Raw = ()
    tool_calls: tuple[dict[str, Any], ...] | Raw = ()
    tool_name: TextOrJson = ""
    tool_call_id: TextOrJson = ""
    interrupted: bool = False
    refused: bool = False

    @property
    def text(self) -> str:
        """The content, decoded."""
        return text_of(self.content)

    @property
    def is_empty(self) -> bool:
        """True for an answer that was cut before its text began, even if the model had thought."""
        return not (self.content or self.images or self.tool_calls)

    @property
    def is_unfinished(self) -> bool:
        """True for an answer that can be continued."""
        return self.role == "assistant" and self.interrupted

    @property
    def image_bytes(self) -> int:
        """The size of the pictures' JSON: they count apart from the text."""
        return len(_json(self.images)) if self.images else 0

    @property
    def image_count(self) -> int:
        """The number of pictures."""
        return len(self.images if isinstance(self.images, tuple) else msgspec.json.decode(self.images, type=list[Raw]))

    def without_images(self) -> Message:
        """Return the message without its pictures; its text stays, and an empty one too."""
        return msgspec.structs.replace(self, images=()) if self.images else self

    @property
    def is_blank(self) -> bool:
        """True for an unfinished answer without any text: it is in its session's view and in no prompt."""
        return self.is_unfinished and self.is_empty

    def for_ollama(self) -> Message:
        """Return the message without the fields that are not Ollama's."""
        if not (self.interrupted or self.refused):
            return self
        return msgspec.structs.replace(self, interrupted=False, refused=False)

    def memory_bytes(self) -> int:
        """Return the memory that the message takes; in a `str` with an emoji each character takes four bytes."""
        kept = (self.content, self.thinking, self.tool_name, self.tool_call_id, self.images, self.tool_calls)
        return sys.getsizeof(self) + sum(_memory_of(value) for value in kept if value)


def text_of(text: TextOrJson) -> str:
    """Decode a text."""
    return text if isinstance(text, str) else msgspec.json.decode(text, type=str)


def json_of(text: TextOrJson) -> Raw:
    """Return a text as the JSON string that `JSON.stringify` writes, with no unnecessary and no long escape."""
    if isinstance(text, Raw) and not _RESPELT.search(text):
        return text
    return Raw(msgspec.json.encode(text_of(text)))


def join_texts(text: TextOrJson, more: TextOrJson) -> TextOrJson:
    """Append a text to another; two JSON strings make one without the quotes between them, whatever their escapes."""
    if isinstance(text, str) and isinstance(more, str):
        return text + more
    return Raw(b"".join((_json(text)[:-1], _json(more)[1:]))) if text and more else text or more


def join_lists(items: tuple[Any, ...] | Raw, more: tuple[Any, ...] | Raw) -> tuple[Any, ...] | Raw:
    """Append a list to another, likewise."""
    if isinstance(items, tuple) and isinstance(more, tuple):
        return items + more
    return Raw(b"".join((_json(items)[:-1], b",", _json(more)[1:]))) if items and more else items or more


def _json(value: object) -> memoryview:
    return memoryview(value if isinstance(value, Raw) else msgspec.json.encode(value))


def _memory_of(value: TextOrJson | tuple[Any, ...]) -> int:
    if isinstance(value, str):
        return sys.getsizeof(value)
    if isinstance(value, Raw):
        return RAW_BYTES + len(value)
    return sum(sys.getsizeof(each) if isinstance(each, str) else len(msgspec.json.encode(each)) for each in value)
