"""The messages of OpenAI's chat completions, read as Ollama's.

One message makes one message: its parts become one text and a list of pictures. `developer` is OpenAI's newer word for
`system`. A tool's answer gets the name of the tool, from the call that it answers.
Source: OpenAI API reference, "Create chat completion", `messages`; Ollama docs/api.md, "Generate a chat completion".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw

from clawgate.sessions import Message
from clawgate.sessions.message import Role
from clawgate.web.door import shapes
from clawgate.web.door.parts import one_of, read_content, shown
from clawgate.web.door.shapes import Fields, Shape
from clawgate.web.openai import parts
from clawgate.web.openai.calls import EXPECTED as OF_CALLS
from clawgate.web.openai.calls import Names, ToolCall, read_calls
from clawgate.web.openai.parts import Part

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
EXPECTED = {
    **parts.EXPECTED,
    **OF_CALLS,
    "messages": "a list of at least one message",
    "messages[]": 'an object like {"role": "user", "content": "…"}',
    "role": one_of(_ROLES),
    "tool_call_id": "the id of a call, a text",
    "messages[].reasoning": "a text",
    "reasoning_content": "a text",
}
"""The words for what a field of a message should have been, in a refusal."""


class CompletionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `reasoning`, or `reasoning_content`, is what an assistant has thought."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


def read_messages(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    """Read all messages of a conversation.

    Errors: BadRequest that names the message and its field.
    """
    names = Names()
    messages = tuple(
        _message(each, f"{path}[{index}]", fields, names)
        for index, each in enumerate(shapes.items(value, path, fields))
    )
    if not messages:
        raise fields.wrong(path, "none")
    return messages


def _message(value: Raw, path: str, fields: Fields, names: Names) -> Message:
    given = _MESSAGE.read(shapes.members(value, path, fields), f"{path}.", fields)
    role: Role = given["role"]
    content = read_content(given.get("content", _NULL), f"{path}.content", fields, parts.PARTS)
    own: dict[str, Any] = {}
    calls = read_calls(given["tool_calls"], f"{path}.tool_calls", fields, names) if "tool_calls" in given else ()
    if role == "assistant":
        own["thinking"] = given.get("reasoning") or given.get("reasoning_content", "")
        own["tool_calls"] = calls
    elif role == "tool":
        call_id = given.get("tool_call_id", "")
        own["tool_call_id"] = call_id
        own["tool_name"] = given.get("name") or names.of(call_id)
    return Message(role=role, content=content.text, images=content.images, **own)


def _role(value: Raw, path: str, fields: Fields) -> Role:
    name = _read_text(value, path, fields)
    if name in _ROLES:
        return _ROLES[name]
    cure = "; a tool's answer has the role tool" if name == "function" else ""
    raise fields.wrong(path, f'"{shown(name)}"{cure}')


def _as_it_is(value: Raw, _path: str, _fields: Fields) -> Raw:
    return value


_NULL = Raw(b"null")
_read_text = shapes.short(str)
_MESSAGE = Shape(
    CompletionMessage,
    is_lenient=True,
    role=_role,
    content=_as_it_is,
    name=shapes.text,
    reasoning=shapes.text,
    reasoning_content=shapes.text,
    tool_calls=_as_it_is,
)
