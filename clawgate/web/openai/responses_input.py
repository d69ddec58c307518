"""The `input` of a response: a text, or the items of a conversation, read as Ollama's messages.

What the model did in one turn (its thinking, its text, its calls) comes as items of their own, and becomes one message;
thinking that nothing follows is left out. Texts, arguments and pictures stay the bytes that they were.
Source: OpenAI API reference, "Create a model response", `input`; Ollama openai/responses.go, FromResponsesRequest.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from clawgate.sessions import Message
from clawgate.sessions.message import Role
from clawgate.web.door import shapes
from clawgate.web.door.parts import Content, ReadPart, one_of, read_content, shown, type_of
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields
from clawgate.web.door.tools import called, called_name, check_name, listed
from clawgate.web.openai.calls import JSON_OBJECT, read_arguments
from clawgate.web.openai.parts import image_url, text_part
from clawgate.web.openai.responses_tools import known_name

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
PARTS: dict[str, ReadPart] = {
    "input_text": text_part("text"),
    "output_text": text_part("text"),
    "refusal": text_part("refusal"),
    "input_image": image_url,
}
"""The kinds of parts, by their types."""
THOUGHTS: dict[str, ReadPart] = {"summary_text": text_part("text"), "reasoning_text": text_part("text")}
EXPECTED = {
    "input": "a text or a list of at least one item",
    "input[]": 'an item like {"role": "user", "content": "…"}',
    "role": one_of(ROLES),
    "content": "a text or a list of parts",
    "content[]": 'a part like {"type": "input_text", "text": "…"}',
    "output": "a text or a list of parts",
    "output[]": 'a part like {"type": "input_text", "text": "…"}',
    "summary": "a list of parts",
    "summary[]": 'a part like {"type": "summary_text", "text": "…"}',
    "text": "a text",
    "refusal": "a text",
    "image_url": "a picture as an address like data:image/png;base64,…",
    "url": "a picture as an address like data:image/png;base64,…",
    "call_id": "a text",
    "name": "a text",
    "namespace": "a text",
    "arguments": "a JSON object as a text",
}
"""The words for what a field of an item should have been, in a refusal."""


def read_input(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    """Read the input. Ollama loads a model where it gets no message: a question without a word is one.

    Errors: BadRequest.
    """
    if kind_of(value) == "str":
        return (Message(role="user", content=shapes.text(value, path, fields)),)
    given = shapes.items(value, path, fields)
    if not given:
        raise fields.wrong(path)
    items = _Items()
    for index, each in enumerate(given):
        items.add(shapes.members(each, f"{path}[{index}]", fields), f"{path}[{index}]", fields)
    return items.messages() or (Message(role="user"),)


class _Items:
    """The messages so far, and the model's turn that is still being read."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._names: dict[bytes, Raw] = {}  # of the tools that were called, by the JSON of the calls' ids
        self._turn = _Turn()

    def messages(self) -> tuple[Message, ...]:
        """End the model's turn, and return all messages."""
        self._end_turn()
        return tuple(self._messages)

    def add(self, item: Members, path: str, fields: Fields) -> None:
        """Read the next item; one without a type is a message where it has a role.

        Errors: BadRequest.
        """
        kinds = {
            "message": self._message,
            "function_call": self._call,
            "function_call_output": self._output,
            "reasoning": self._reasoning,
            "web_search_call": lambda *_: None,  # what was found is in the message that follows it
        }  # kept in an attribute, it would be a cycle that keeps the body until a collection
        kind = "message" if "type" not in item and "role" in item else type_of(item, path, kinds)
        kinds[kind](item, f"{path}.", fields)

    def _message(self, item: Members, path: str, fields: Fields) -> None:
        role = _role(item, f"{path}role", fields)
        content = _content(item, "content", path, fields, PARTS)
        if role == "assistant":
            if self._turn.content is not None:
                self._end_turn()
            self._turn.content = content
        else:
            self._end_turn()
            self._messages.append(Message(role=role, content=content.text, images=content.images))

    def _call(self, item: Members, path: str, fields: Fields) -> None:
        id_, name = shapes.name(item, "call_id", path, fields), called_name(item, path, fields)
        if not shapes.is_null(item.get("namespace", _NULL)):
            within = _short_text(shapes.name(item, "namespace", path, fields), f"{path}namespace", fields)
            name = Raw(msgspec.json.encode(known_name(within, _short_text(name, f"{path}name", fields))))
            check_name(name, f"{path}namespace")
        text = shapes.required(item, "arguments", "str", path, fields)
        self._turn.calls.append(called(id_, name, read_arguments(text, f"{path}arguments", fields)))
        self._names[bytes(id_)] = name.copy()

    def _output(self, item: Members, path: str, fields: Fields) -> None:
        self._end_turn()
        id_ = shapes.name(item, "call_id", path, fields)
        content = _content(item, "output", path, fields, PARTS)
        self._messages.append(
            Message(
                role="tool",
                content=content.text,
                images=content.images,
                tool_name=self._names.get(bytes(id_), ""),
                tool_call_id=id_.copy(),
            )
        )

    def _reasoning(self, item: Members, path: str, fields: Fields) -> None:
        self._end_turn()
        name = "summary" if shapes.is_null(item.get("content", _NULL)) else "content"
        if name in item:
            thoughts = shapes.required(item, name, "array", path, fields)
            self._turn.thinking = read_content(thoughts, path + name, fields, THOUGHTS)

    def _end_turn(self) -> None:
        message = self._turn.message()
        if not message.is_empty:
            self._messages.append(message)
        self._turn = _Turn()


class _Turn:
    """What the model did in one turn."""

    def __init__(self) -> None:
        self.thinking = Content()
        self.content: Content | None = None
        self.calls: list[bytes] = []

    def message(self) -> Message:
        """Return it as one message, which is empty where the model said nothing and called nothing."""
        said = self.content or Content()
        return Message(
            role="assistant",
            content=said.text,
            thinking=self.thinking.text,
            images=said.images,
            tool_calls=listed(self.calls),
        )


def _role(item: Members, path: str, fields: Fields) -> Role:
    name = _short_text(shapes.required(item, "role", "str", path.removesuffix("role"), fields), path, fields)
    if name not in ROLES:
        raise fields.wrong(path, f'"{shown(name)}"')
    return ROLES[name]


def _content(item: Members, name: str, path: str, fields: Fields, kinds: dict[str, ReadPart]) -> Content:
    value = item.get(name)
    if value is None or kind_of(value) not in ("str", "array"):
        raise fields.wrong(path + name, "" if value is None else kind_of(value))
    return read_content(value, path + name, fields, kinds)


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


_NULL = Raw(b"null")
_short_text = shapes.short(str)
_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1}
_PART = {
    "anyOf": [
        _object("type text", type={"enum": ["input_text", "output_text"]}, text=_TEXT),
        _object("type refusal", type={"const": "refusal"}, refusal=_TEXT),
        _object("type image_url", type={"const": "input_image"}, image_url={"type": "string", "format": "byte"}),
    ]
}
_CONTENT = {"anyOf": [_TEXT, {"type": "array", "items": _PART}]}
_THOUGHTS = {"type": "array", "items": _object("type text", type={"enum": list(THOUGHTS)}, text=_TEXT)}
_ARGUMENTS = {"type": "string", **JSON_OBJECT}
SCHEMA = {
    "anyOf": [
        _object("role content", type={"const": "message"}, role={"enum": list(ROLES)}, content=_CONTENT),
        _object(
            "type call_id name arguments",
            type={"const": "function_call"},
            call_id=_NAME,
            name=_NAME,
            namespace={"anyOf": [_NAME, {"type": "null"}]},
            arguments=_ARGUMENTS,
        ),
        _object("type call_id output", type={"const": "function_call_output"}, call_id=_NAME, output=_CONTENT),
        _object(
            "type", type={"const": "reasoning"}, summary=_THOUGHTS, content={"anyOf": [_THOUGHTS, {"type": "null"}]}
        ),
    ]
}
"""An item as JSON Schema: OpenAI lets the type of a message out, which no tagged type here can."""
