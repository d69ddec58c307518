"""The body of `POST /v1/chat/completions`, read as a request for the desk.

A field means what it means to Ollama's own compatibility layer. Unknown fields are ignored; a null counts as absent.
Options that a request leaves out are those of the operator or of the model.
Source: OpenAI API reference, "Create chat completion"; Ollama openai/openai.go, FromChatRequest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from clawgate.config.options import MAX_ITEMS, MAX_OPTION_BYTES
from clawgate.relay.prompt import ChatRequest
from clawgate.web.door import naming, shapes
from clawgate.web.door.messages import read_tools
from clawgate.web.door.naming import SessionId
from clawgate.web.door.options import options_called, read_option
from clawgate.web.door.parts import one_of, shown, type_of
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, Shape
from clawgate.web.openai import messages
from clawgate.web.openai.messages import CompletionMessage, read_messages

THINK: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "ultra": "high",
    "max": "max",
}
"""Ollama's levels of thinking, by OpenAI's efforts."""
_FORMATS = {"text": None, "json_object": None, "json_schema": None}
EXPECTED = {
    **messages.EXPECTED,
    "reasoning": 'an object like {"effort": "low"}',
    "model": "a text",
    "stream": "true or false",
    "stream_options": "an object",
    "include_usage": "true or false",
    "tools": "a list of objects",
    "tool_choice": "a text or an object",
    "response_format": "an object with a type",
    "json_schema": "an object with a schema",
    "schema": "a JSON schema",
    "reasoning_effort": one_of(THINK),
    "effort": one_of(THINK),
    "stop": f"a text, or a list of at most {MAX_ITEMS} texts",
    "n": "1, since Ollama makes one answer at a time",
    "keep_alive": 'a duration like "5m", or seconds',
    "session_id": naming.EXPECTED,
}
"""The words for what a field should have been, in a refusal."""
OPTIONS = {
    "stop": "stop",
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}
"""The fields that are options of Ollama's, by their names here; of two for one option the later wins."""
_option = options_called(OPTIONS)


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"]


class TextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """An answer in words."""


class JsonFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """An answer that is some JSON."""


class DescribedSchema(msgspec.Struct, frozen=True):
    """The JSON schema of an answer."""

    schema: dict[str, Any]


class SchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    """An answer that is JSON after a schema."""

    json_schema: DescribedSchema


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream has beside the answer: the counts of tokens, in a chunk of their own before its end."""

    include_usage: bool | None = None


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model thinks."""

    effort: Effort | None = None


class CompletionBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions: OpenAI's fields, and clawgate's `keep_alive` and `session_id`."""

    messages: Annotated[list[CompletionMessage], Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: TextFormat | JsonFormat | SchemaFormat | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: Effort | None = None
    stop: str | Annotated[list[str], Meta(max_length=MAX_ITEMS)] | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    keep_alive: str | int | float | None = None
    session_id: SessionId | None = None


class Completion(NamedTuple):
    """A checked body: the request for the desk, and how its answer is sent."""

    chat: ChatRequest
    is_streamed: bool
    includes_usage: bool


def read_completion(given: Members, model_name: str, session_id: str | None) -> Completion:
    """Check a body.

    model_name: the model that answers where the body names none.
    session_id: the session that the request names, in its body or in a header; without one nothing is kept.

    Errors: BadRequest.
    """
    body = _BODY.read(given, "", Fields(EXPECTED))
    options = {OPTIONS[name]: body[name] for name in OPTIONS if name in body}
    effort = body.get("reasoning") or body.get("reasoning_effort")
    extras = {
        "think": None if effort is None else THINK[effort],
        "options": options or None,
        "format": body.get("response_format"),
        "tools": None if body.get("tool_choice") == "none" else body.get("tools"),
        "keep_alive": body.get("keep_alive"),
    }
    chat = ChatRequest(
        model=body.get("model", model_name),
        session_id=session_id,
        messages=body["messages"],
        is_kept=session_id is not None,
        extras={name: value for name, value in extras.items() if value is not None},
    )
    return Completion(chat, body.get("stream", False), body.get("stream_options", False))


def _stop(value: Raw, path: str, _fields: Fields) -> Any:
    is_alone = kind_of(value) == "str" and len(value) <= MAX_OPTION_BYTES
    return read_option("stop", Raw(b"[%b]" % bytes(memoryview(value))) if is_alone else value, path)


def _effort(value: Raw, path: str, fields: Fields) -> str:
    name = _read_text(value, path, fields)
    if name not in THINK:
        raise fields.wrong(path, f'"{shown(name)}"')
    return name  # type: ignore[no-any-return]


def _reasoning(value: Raw, path: str, fields: Fields) -> str | None:
    return _REASONING.read(shapes.members(value, path, fields), f"{path}.", fields).get("effort")


def _stream_options(value: Raw, path: str, fields: Fields) -> bool:
    given = _STREAM_OPTIONS.read(shapes.members(value, path, fields), f"{path}.", fields)
    return given.get("include_usage", False)  # type: ignore[no-any-return]


def _tool_choice(value: Raw, path: str, fields: Fields) -> str:
    """Take what Ollama knows of it: none of the tools, or else whatever the model thinks right."""
    if kind_of(value) == "object":
        return ""
    return _read_text(value, path, fields)  # type: ignore[no-any-return]


def _format(value: Raw, path: str, fields: Fields) -> str | Raw | dict[str, Any] | None:
    given = shapes.members(value, path, fields)
    kind = type_of(given, path, _FORMATS)
    if kind == "text":
        return None
    if kind == "json_object":
        return "json"
    path += ".json_schema"
    if "json_schema" not in given:
        raise fields.wrong(path)
    described = shapes.members(given["json_schema"], path, fields)
    path += ".schema"
    if "schema" not in described:
        raise fields.wrong(path)
    schema = described["schema"]
    return schema.copy() if shapes.members(schema, path, fields) else {}


def _one(value: Raw, path: str, fields: Fields) -> int:
    number = _read_number(value, path, fields)
    if number != 1:
        raise fields.wrong(path, "more" if number > 1 else "less")
    return 1


_read_text = shapes.short(str)
_read_number = shapes.short(float)
_REASONING = Shape(Reasoning, effort=_effort)
_STREAM_OPTIONS = Shape(StreamOptions)
_BODY = Shape(
    CompletionBody,
    messages=read_messages,
    stream_options=_stream_options,
    tools=read_tools,
    tool_choice=_tool_choice,
    response_format=_format,
    reasoning=_reasoning,
    reasoning_effort=_effort,
    stop=_stop,
    seed=_option,
    temperature=_option,
    top_p=_option,
    frequency_penalty=_option,
    presence_penalty=_option,
    max_tokens=_option,
    max_completion_tokens=_option,
    n=_one,
)
