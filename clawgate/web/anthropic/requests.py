"""The body of `POST /v1/messages`: each mistake is named with its field and what was expected.

What a newer Ollama has no use for is ignored as it does it: metadata, cache_control, a tool_choice that would force a
call, the budget of the thinking. Long values stay the bytes that they were, copied out of the body.
Source: Anthropic API reference, "Create a Message"; Ollama anthropic/anthropic.go, FromMessagesRequest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from clawgate.config.options import Texts
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.anthropic import blocks
from clawgate.web.anthropic.blocks import AnthropicTextBlock, AnthropicTurn, Conversation, read_blocks
from clawgate.web.door import naming, shapes
from clawgate.web.door.naming import SessionId
from clawgate.web.door.options import options_called
from clawgate.web.door.reading import Members
from clawgate.web.door.shapes import Fields, Name, Shape
from clawgate.web.door.tools import function, listed

EXPECTED = {
    **blocks.EXPECTED,
    "model": "a text",
    "max_tokens": "an integer from 1",
    "messages": "a list of at least one message",
    "system": "a text or a list of blocks of text",
    "system[]": 'a block like {"type": "text", "text": "…"}',
    "stream": "true or false",
    "tools": "a list of tools",
    "tools[]": 'an object like {"name": "…", "description": "…", "input_schema": {…}}',
    "tools[].type": '"custom" or none: only tools that the client runs are known here',
    "description": "a text",
    "input_schema": "a JSON schema",
    "tool_choice": 'an object like {"type": "auto"}',
    "thinking": 'an object like {"type": "enabled"}',
    "messages[].content[].thinking": "a text",
    "output_config": "an object with effort or format, or both",
    "effort": "a text",
    "format": 'an object like {"type": "json_schema", "schema": {…}}',
    "output_config.format.type": '"json_schema"',
    "type": "a text",
    "schema": "a JSON schema",
    "session_id": naming.EXPECTED,
}
"""The words for what a field should have been, in a refusal."""
EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}
"""Ollama's levels of thinking, by Anthropic's."""


OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}
"""The fields that are options of Ollama's, by their names here."""
_option = options_called(OPTIONS)


class AnthropicTool(msgspec.Struct, frozen=True):
    """A tool that the client runs."""

    name: Name
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None


class AnthropicChoice(msgspec.Struct, frozen=True):
    """How tools may be used: "none" takes them away, anything else leaves it to the model."""

    type: str


class AnthropicThinkingConfig(msgspec.Struct, frozen=True):
    """Whether the model thinks: not where the type is "disabled"."""

    type: str


class AnthropicFormat(msgspec.Struct, frozen=True):
    """The JSON schema that the answer follows."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class AnthropicOutputConfig(msgspec.Struct, frozen=True):
    """How much the model thinks (low, medium, high, xhigh, max), and the form of its answer."""

    effort: str | None = None
    format: AnthropicFormat | None = None


class MessagesBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/messages.

    Source: Anthropic API reference, "Create a Message".
    """

    max_tokens: Annotated[int, Meta(ge=1)]
    messages: Annotated[tuple[AnthropicTurn, ...], Meta(min_length=1)]
    model: str | None = None
    system: str | list[AnthropicTextBlock] | None = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: Texts | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicChoice | None = None
    thinking: AnthropicThinkingConfig | None = None
    output_config: AnthropicOutputConfig | None = None
    session_id: SessionId | None = None


class Read(NamedTuple):
    """What a body asks for."""

    chat: ChatRequest
    is_streamed: bool


def read_messages(given: Members, model_name: str, session_id: str | None) -> Read:
    """Check the body of POST /v1/messages.

    model_name: the model that answers where the body names none.
    session_id: the session that the request names; without one the answer is not kept.

    Errors: BadRequest.
    """
    fields = Fields(EXPECTED)
    body = MESSAGES.read(given, "", fields)
    system: tuple[Message, ...] = body.get("system", ())
    chat = ChatRequest(
        model=body.get("model", model_name),
        session_id=session_id,
        messages=system + body["messages"],
        extras=dict(_extras(body)),
        ignored=tuple(fields.ignored),
        is_kept=session_id is not None,
    )
    return Read(chat, body.get("stream", False))


def _extras(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the request to Ollama beside model and messages."""
    extras: dict[str, Any] = {"options": {option: body[name] for name, option in OPTIONS.items() if name in body}}
    thinking, choice, config = (body.get(name) for name in ("thinking", "tool_choice", "output_config"))
    think = _think(thinking, config.get("effort") if config else None)
    if think is not None:
        extras["think"] = think
    if config and "format" in config:
        extras["format"] = config["format"]
    if body.get("tools") and not (choice and choice.type == "none"):
        extras["tools"] = body["tools"]
    return extras


def _think(thinking: AnthropicThinkingConfig | None, effort: str | None) -> bool | str | None:
    """Return whether the model thinks, and how much; None where that is left to it."""
    if thinking is not None and thinking.type == "disabled":
        return False
    level = EFFORTS.get(effort or "")
    return level if level is not None else True if thinking is not None else None


def _messages(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    given = shapes.items(value, path, fields)
    if not given:
        raise fields.wrong(path)
    conversation = Conversation()
    for index, each in enumerate(given):
        conversation.add(each, f"{path}[{index}]", fields)
    return conversation.messages


def _system(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    content = read_blocks(value, path, fields, blocks.SYSTEM)
    return (Message(role="system", content=content.text),) if content.text else ()


def _tools(value: Raw, path: str, fields: Fields) -> Raw | tuple[()]:
    return listed(
        [_tool(each, f"{path}[{index}]", fields) for index, each in enumerate(shapes.items(value, path, fields))]
    )


def _tool(value: Raw, path: str, fields: Fields) -> bytes:
    given = shapes.members(value, path, fields)
    path += "."
    if not shapes.is_null(given.get("type", NULL)):
        _custom(given["type"], f"{path}type", fields)
    description = None
    if not shapes.is_null(given.get("description", NULL)):
        description = shapes.required(given, "description", "str", path, fields)
    schema = shapes.required(given, "input_schema", "object", path, fields)
    return function(shapes.name(given, "name", path, fields), description, schema)


def _output_config(value: Raw, path: str, fields: Fields) -> dict[str, Any]:
    return OUTPUT_CONFIG.read(shapes.members(value, path, fields), f"{path}.", fields)


def _format(value: Raw, path: str, fields: Fields) -> Raw | dict[str, Any]:
    given = shapes.members(value, path, fields)
    path += "."
    _json_schema(shapes.required(given, "type", "str", path, fields), f"{path}type", fields)
    schema = shapes.required(given, "schema", "object", path, fields)
    return schema.copy() if shapes.members(schema, path, fields) else {}


def _max_tokens(value: Raw, path: str, fields: Fields) -> int:
    limit: int | None = _option(value, path, fields)
    if limit is None or limit < 1:
        raise fields.wrong(path, "null" if limit is None else str(limit))
    return limit


NULL = Raw(b"null")
_custom = shapes.short(Literal["custom"])
_json_schema = shapes.short(Literal["json_schema"])
OUTPUT_CONFIG = Shape(AnthropicOutputConfig, format=_format)
MESSAGES = Shape(
    MessagesBody,
    max_tokens=_max_tokens,
    temperature=_option,
    top_p=_option,
    top_k=_option,
    stop_sequences=_option,
    messages=_messages,
    system=_system,
    tools=_tools,
    output_config=_output_config,
)
