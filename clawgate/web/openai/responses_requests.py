"""The body of `POST /v1/responses`: each mistake is named with its field and what was expected.

Responses are not kept, as Ollama keeps none: what names an earlier one is refused, and what only asks to keep this one
(`store`) is ignored. Other unknown fields are ignored too; a null counts as absent.
Source: OpenAI API reference, "Create a model response"; Ollama openai/responses.go, FromResponsesRequest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.door import naming, shapes
from clawgate.web.door.naming import SessionId
from clawgate.web.door.options import options_called
from clawgate.web.door.parts import one_of, type_of
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, Shape
from clawgate.web.openai import responses_input, responses_tools
from clawgate.web.openai.requests import THINK, Effort
from clawgate.web.openai.responses_input import read_input
from clawgate.web.openai.responses_tools import Tools, read_tools
from clawgate.web.openai.responses_whole import Settings

EXPECTED = {
    **responses_input.EXPECTED,
    **responses_tools.EXPECTED,
    "model": "a text",
    "instructions": "a text",
    "stream": "true or false",
    "reasoning": 'an object like {"effort": "low"}',
    "effort": one_of(THINK),
    "text": 'an object like {"format": {"type": "text"}}',
    "input[].content[].text": "a text",
    "input[].output[].text": "a text",
    "input[].summary[].text": "a text",
    "format": 'an object like {"type": "json_schema", "schema": {…}}',
    "schema": "a JSON schema",
    "tool_choice": "a text or an object",
    "previous_response_id": "none: no response is kept here; send the whole conversation as `input`, which the session "
    "that X-Session-Id names then keeps",
    "conversation": "none: no conversation is kept here but in the session that X-Session-Id names; send all of it as "
    "`input`",
    "prompt": "none: no prompts are kept here; send the text itself as `instructions` and `input`",
    "background": "false: an answer ends with its request",
    "session_id": naming.EXPECTED,
}
"""The words for what a field should have been, in a refusal."""
OPTIONS = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "num_predict"}
"""The fields that are options of Ollama's, by their names here."""
_option = options_called(OPTIONS)
FORMATS: dict[str, Literal["text", "json_object", "json_schema"]] = {
    "text": "text",
    "json_object": "json_object",
    "json_schema": "json_schema",
}


class ResponseReasoningConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model thinks."""

    effort: Effort | None = None


class ResponseTextFormat(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """An answer in words."""


class ResponseJsonFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    """An answer that is some JSON."""


class ResponseSchemaFormat(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    """An answer that is JSON after a schema."""

    schema: dict[str, Any]


class ResponseTextSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The form of the answer."""

    format: ResponseTextFormat | ResponseJsonFormat | ResponseSchemaFormat | None = None


Tool = Annotated[dict[str, Any], Meta(extra_json_schema=responses_tools.SCHEMA)]
Items = Annotated[list[Annotated[dict[str, Any], Meta(extra_json_schema=responses_input.SCHEMA)]], Meta(min_length=1)]


class ResponseBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/responses: OpenAI's fields, and clawgate's `session_id`."""

    input: str | Items
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: ResponseTextSettings | None = None
    reasoning: ResponseReasoningConfig | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    session_id: SessionId | None = None
    background: Literal[False] | None = None
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None


class Read(NamedTuple):
    """What a body asks for, and what its response says of that."""

    chat: ChatRequest
    is_streamed: bool
    settings: Settings


class _Format(NamedTuple):
    kind: Literal["text", "json_object", "json_schema"] = "text"
    format: str | Raw | dict[str, Any] | None = None


def read_response(given: Members, model_name: str, session_id: str | None) -> Read:
    """Check the body of POST /v1/responses.

    model_name: the model that answers where the body names none.
    session_id: the session that the request names; without one the answer is not kept.

    Errors: BadRequest.
    """
    fields = Fields(EXPECTED)
    body = BODY.read(given, "", fields)
    has_tools = body.get("tool_choice") != "none"
    form: _Format = body.get("text") or _Format()
    tools: Tools = body.get("tools") or Tools()
    effort: str | None = body.get("reasoning")
    options = {OPTIONS[name]: body[name] for name in OPTIONS if name in body}
    extras = {
        "think": None if effort is None else THINK[effort],
        "options": options or None,
        "format": form.format,
        "tools": (tools.listed or None) if has_tools else None,
    }
    model: str = body.get("model", model_name)
    instructions: tuple[Message, ...] = body.get("instructions", ())
    chat = ChatRequest(
        model=model,
        session_id=session_id,
        messages=instructions + body["input"],
        extras={name: value for name, value in extras.items() if value is not None},
        ignored=tuple(fields.ignored),
        is_kept=session_id is not None,
    )
    settings = Settings(
        model=model,
        tool_choice="auto" if has_tools else "none",
        format=form.kind,
        effort=effort,
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_output_tokens=body.get("max_output_tokens"),
        qualified=tools.qualified,
    )
    return Read(chat, body.get("stream", False), settings)


def _instructions(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    text = shapes.text(value, path, fields)
    return (Message(role="system", content=text),) if text else ()


def _tool_choice(value: Raw, path: str, fields: Fields) -> str:
    """Take what Ollama knows of it: none of the tools, or else whatever the model thinks right."""
    return "" if kind_of(value) == "object" else str(_short_text(value, path, fields))


def _text(value: Raw, path: str, fields: Fields) -> _Format:
    form: _Format = TEXT.read(shapes.members(value, path, fields), f"{path}.", fields).get("format") or _Format()
    return form


def _format(value: Raw, path: str, fields: Fields) -> _Format:
    given = shapes.members(value, path, fields)
    kind = FORMATS[type_of(given, path, FORMATS)]
    if kind == "text":
        return _Format()
    if kind == "json_object":
        return _Format(kind, "json")
    schema = shapes.required(given, "schema", "object", f"{path}.", fields)
    return _Format(kind, schema.copy() if shapes.members(schema, path, fields) else {})


def _reasoning(value: Raw, path: str, fields: Fields) -> str | None:
    effort: str | None = REASONING.read(shapes.members(value, path, fields), f"{path}.", fields).get("effort")
    return effort


def _none(value: Raw, path: str, fields: Fields) -> None:
    raise fields.wrong(path, kind_of(value))


_short_text = shapes.short(str)
REASONING = Shape(ResponseReasoningConfig)
TEXT = Shape(ResponseTextSettings, format=_format)
BODY = Shape(
    ResponseBody,
    input=read_input,
    instructions=_instructions,
    tools=read_tools,
    tool_choice=_tool_choice,
    text=_text,
    reasoning=_reasoning,
    temperature=_option,
    top_p=_option,
    max_output_tokens=_option,
    previous_response_id=_none,
    conversation=_none,
    prompt=_none,
)
