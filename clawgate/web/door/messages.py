"""The reading of messages in Ollama's own form, which our own API and Ollama's take.

Long values (texts, pictures, tool calls) stay the bytes that they were, copied out of the body; short ones are decoded.
Source: Ollama docs/api.md, "Generate a chat completion", parameters of `messages`.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw

from clawgate.sessions import Message, TextOrJson
from clawgate.web.door import images, naming, shapes
from clawgate.web.door.reading import kind_of
from clawgate.web.door.shapes import Fields, Shape

Messages = Annotated[tuple[Message, ...], Meta(min_length=1)]
EXPECTED = {
    "messages": "a list of at least one message",
    "messages[]": 'an object like {"role": "user", "content": "…"}',
    "role": '"system", "user", "assistant" or "tool"',
    "content": "a text",
    "message": 'a text, or one object like {"role": "user", "content": "…"}',
    "thinking": "a text",
    "tool_name": "a text",
    "tool_call_id": "a text",
    "images": f"a list of at most {images.MAX_IMAGES} pictures",
    "images[]": "a picture (PNG, JPEG, WebP, …) as base64",
    "tool_calls": "a list of objects",
    "interrupted": "true or false",
    "refused": "true or false",
    "options": "an object",
    "format": '"json" or a JSON schema',
    "tools": "a list of objects",
    "think": "true, false or a level",
    "keep_alive": 'a duration like "5m", or seconds',
    "stream": "true or false",
    "model": "a text",
    "session_id": naming.EXPECTED,
}
"""The words for what a field should have been, in a refusal."""
MESSAGE = Shape(
    Message,
    is_lenient=True,
    content=shapes.text,
    thinking=shapes.text,
    images=images.images,
    tool_calls=shapes.objects,
    tool_name=shapes.text,
    tool_call_id=shapes.text,
)


def message_or_text(value: Raw, path: str, fields: Fields) -> Message:
    """Read a message, or a text, which is the user's."""
    if kind_of(value) == "str":
        return Message(role="user", content=_any_text(value, path, fields))
    return _any_message(value, path, fields)  # type: ignore[no-any-return]


def read_format(value: Raw, path: str, fields: Fields) -> TextOrJson | dict[str, Any]:
    """Read a `format`: "json", or a schema, which stays its JSON."""
    return _any_format(value, path, fields)  # type: ignore[no-any-return]


def _format(value: Raw, path: str, fields: Fields) -> TextOrJson | dict[str, Any]:
    if kind_of(value) == "str":
        return shapes.text(value, path, fields)
    return value.copy() if shapes.members(value, path, fields) else {}


def _messages(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    return tuple(
        _message(each, f"{path}[{index}]", fields) for index, each in enumerate(shapes.items(value, path, fields))
    )


def _message(value: Raw, path: str, fields: Fields) -> Message:
    return Message(**MESSAGE.read(shapes.members(value, path, fields), f"{path}.", fields))


def _is_light(message: Message) -> bool:
    """Tell whether a message may stay decoded: pictures are checked; a `{}` of tool calls takes 24 times its JSON."""
    return not (message.tool_calls or message.images)


_any_text = shapes.unless_short(shapes.text, str)
_any_message = shapes.unless_short(_message, Message, _is_light)
_any_format = shapes.unless_short(_format, str | dict[str, Any])
read_messages = shapes.unless_short(_messages, tuple[Message, ...], lambda messages: all(map(_is_light, messages)))
"""Reads a list of messages, which may be empty."""
read_tools = shapes.unless_short(shapes.objects, list[dict[str, Any]])
"""Reads a list of tools, which stay their JSON."""
