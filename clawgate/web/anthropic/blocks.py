"""The messages of a conversation as Anthropic's clients write them, and what each becomes for Ollama.

A message's content is a text or a list of blocks. Its texts and pictures become one message, its calls of tools that
message's; each result of a tool becomes a message of its own, which names the tool that it comes from. Texts, inputs
and pictures stay the bytes that they were.
Source: Anthropic API reference, "Create a Message", `messages`; Ollama anthropic/anthropic.go, convertMessage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from clawgate.errors import BadRequest
from clawgate.sessions import Message
from clawgate.web.door import shapes
from clawgate.web.door.parts import Content, ReadPart, read_content, shown
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, Name, Shape
from clawgate.web.door.tools import called, called_name, listed

EXPECTED = {
    "messages[]": 'an object like {"role": "user", "content": "…"}',
    "role": '"user", "assistant" or "system"',
    "content": "a text or a list of blocks",
    "content[]": 'a block like {"type": "text", "text": "…"}',
    "text": "a text",
    "source": 'an object like {"type": "base64", "media_type": "image/png", "data": "…"}',
    "type": 'a text like "base64"',
    "data": "a picture (PNG, JPEG, WebP, …) as base64",
    "media_type": "a text",
    "id": "a text",
    "name": "a text",
    "input": "an object",
    "tool_use_id": "a text",
    "is_error": "true or false",
    "thinking": "a text",
}
"""The words for what a field of a message should have been, in a refusal."""
NO_BASE64 = 'expected "base64" (no address is fetched, and no file is kept: send the picture itself)'


class AnthropicPicture(msgspec.Struct, frozen=True, tag_field="type", tag="base64"):
    """A picture, inside the request."""

    data: Annotated[str, Meta(extra_json_schema={"format": "byte"})]
    media_type: str | None = None


class AnthropicTextBlock(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A text."""

    text: str


class AnthropicImageBlock(msgspec.Struct, frozen=True, tag_field="type", tag="image"):
    """A picture."""

    source: AnthropicPicture


class AnthropicToolUseBlock(msgspec.Struct, frozen=True, tag_field="type", tag="tool_use"):
    """A call of a tool, as an answer had it."""

    id: Name
    name: Name
    input: dict[str, Any]


class AnthropicToolResultBlock(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result"):
    """The result of a call; Ollama has no field that says whether it is an error."""

    tool_use_id: Name
    content: str | list[AnthropicTextBlock | AnthropicImageBlock] = ""
    is_error: bool = False


class AnthropicThinkingBlock(msgspec.Struct, frozen=True, tag_field="type", tag="thinking"):
    """The thinking of an earlier answer."""

    thinking: str


class AnthropicRedactedBlock(msgspec.Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """Thinking that Anthropic has encrypted: it is left out."""


InputBlock = (
    AnthropicTextBlock
    | AnthropicImageBlock
    | AnthropicToolUseBlock
    | AnthropicToolResultBlock
    | AnthropicThinkingBlock
    | AnthropicRedactedBlock
)


class AnthropicTurn(msgspec.Struct, frozen=True):
    """A message of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[InputBlock]


class Conversation:
    """The messages for Ollama, while those of a body are read one after the other."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._tool_names: dict[bytes, Raw] = {}  # of the calls so far, by the JSON of their ids

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return the messages so far. Ollama loads a model where it gets none: a question without a word is one."""
        return tuple(self._messages) or (Message(role="user"),)

    def add(self, value: Raw, path: str, fields: Fields) -> None:
        """Read a message; one that says nothing is left out, as Ollama does it.

        Errors: BadRequest.
        """
        given = _TURN.read(shapes.members(value, path, fields), f"{path}.", fields)
        blocks = _Blocks(self._tool_names)
        content = blocks.read(given["content"], f"{path}.content", fields)
        said = Message(
            role=given["role"],
            content=content.text,
            thinking=blocks.thinking.text,
            images=content.images,
            tool_calls=listed(blocks.calls),
        )
        is_silent = said.is_empty and not said.thinking
        messages = [] if is_silent else [said]
        self._messages += [*blocks.results, *messages] if said.role == "user" else [*messages, *blocks.results]


class _Blocks:
    """What the blocks of one message say beside texts and pictures."""

    def __init__(self, tool_names: dict[bytes, Raw]) -> None:
        self.thinking = Content()
        self.calls: list[bytes] = []
        self.results: list[Message] = []
        self._tool_names = tool_names

    def read(self, value: Raw, path: str, fields: Fields) -> Content:
        """Read the content of a message; return its texts and pictures."""
        kinds: dict[str, ReadPart] = {
            **SAID,
            "tool_use": self._call,
            "tool_result": self._result,
            "thinking": self._thought,
            "redacted_thinking": lambda *_: None,
        }  # kept in an attribute, it would be a cycle that keeps the body until a collection
        return read_blocks(value, path, fields, kinds)

    def _call(self, block: Members, path: str, fields: Fields, _content: Content) -> None:
        id_, name = shapes.name(block, "id", path, fields), called_name(block, path, fields)
        self.calls.append(called(id_, name, shapes.required(block, "input", "object", path, fields)))
        self._tool_names[bytes(id_)] = name.copy()

    def _result(self, block: Members, path: str, fields: Fields, _content: Content) -> None:
        id_ = shapes.name(block, "tool_use_id", path, fields)
        content = read_blocks(block.get("content", _EMPTY), f"{path}content", fields, SAID)
        if "is_error" in block:
            _flag(block["is_error"], f"{path}is_error", fields)
        self.results.append(
            Message(
                role="tool",
                content=content.text,
                images=content.images,
                tool_name=self._tool_names.get(bytes(id_), ""),
                tool_call_id=id_.copy(),
            )
        )

    def _thought(self, block: Members, path: str, fields: Fields, _content: Content) -> None:
        self.thinking.add_text(shapes.required(block, "thinking", "str", path, fields), f"{path}thinking", fields)


def read_blocks(value: Raw, path: str, fields: Fields, kinds: Mapping[str, ReadPart]) -> Content:
    """Read a content: a text, or a list of blocks, each of one of these kinds.

    Errors: BadRequest.
    """
    if kind_of(value) not in ("str", "array"):
        raise fields.wrong(path, kind_of(value))
    return read_content(value, path, fields, kinds)


def text(block: Members, path: str, fields: Fields, content: Content) -> None:
    """Read a block of text."""
    content.add_text(shapes.required(block, "text", "str", path, fields), f"{path}text", fields)


def picture(block: Members, path: str, fields: Fields, content: Content) -> None:
    """Read a picture that is inside the request."""
    source = shapes.members(shapes.required(block, "source", "object", path, fields), f"{path}source", fields)
    path += "source."
    kind = _short_text(shapes.required(source, "type", "str", path, fields), f"{path}type", fields)
    if kind != "base64":
        raise BadRequest(f'{path}type: {NO_BASE64}, got "{shown(kind)}"')
    if "media_type" in source and not shapes.is_null(source["media_type"]):
        shapes.required(source, "media_type", "str", path, fields)
    content.add_picture(shapes.required(source, "data", "str", path, fields), f"{path}data", fields)


def _as_it_is(value: Raw, _path: str, _fields: Fields) -> Raw:
    return value


_EMPTY = Raw(b'""')
_short_text = shapes.short(str)
_flag = shapes.short(bool)
_TURN = Shape(AnthropicTurn, content=_as_it_is)
SYSTEM: dict[str, ReadPart] = {"text": text}
"""The kinds of blocks in a system prompt, by their types."""
SAID: dict[str, ReadPart] = {**SYSTEM, "image": picture}
"""Those in the result of a tool, and for the most part in a message."""
