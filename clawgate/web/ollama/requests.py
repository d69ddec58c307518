"""The bodies that Ollama's API takes beside a chat's, and their checks: each mistake is named with its field.

A null counts as absent, as in Go; unknown fields are ignored. What is passed on is made of known fields alone: Ollama
takes `MODEL` for `model`, so that an unknown one could name another model than the one that was checked. Long values
stay the bytes that they were, copied out of the body.
Source: Ollama api/types.go; docs/api.md.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from clawgate.config.options import Options
from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.door import chat_body, images, messages, shapes
from clawgate.web.door.naming import SessionId
from clawgate.web.door.options import options
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, Shape

EXPECTED = {
    **messages.EXPECTED,
    "prompt": "a text",
    "system": "a text",
    "suffix": "a text",
    "template": "a text",
    "raw": "true or false",
    "context": "a list of whole numbers",
    "truncate": "true or false",
    "shift": "true or false",
    "name": "a text",
    "verbose": "true or false",
    "input": "a text, or a list of texts",
    "dimensions": "a whole number",
}
"""The words for what a field should have been, in a refusal."""
Pictures = Annotated[list[str], Meta(max_length=images.MAX_IMAGES)]
Name = Annotated[str, Meta(min_length=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a chat or a prompt that say what becomes of one that is too long; our own API has none of them."""

    truncate: bool | None = None
    shift: bool | None = None


class GenerateBody(Limits, frozen=True, kw_only=True):
    """The body of POST /api/generate. Without a prompt it loads the model, or unloads it with a `keep_alive` of 0."""

    model: str | None = None
    prompt: str | None = None
    system: str | None = None
    images: Pictures | None = None
    suffix: str | None = None
    template: str | None = None
    raw: bool | None = None
    context: list[int] | None = None
    stream: bool | None = None
    session_id: SessionId | None = None
    think: bool | str | None = None
    options: Options | None = None
    format: str | dict[str, Any] | None = None
    keep_alive: str | int | float | None = None


class ShowBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /api/show; `name` is the older name of `model`."""

    model: str | None = None
    name: str | None = None
    verbose: bool | None = None
    system: str | None = None
    template: str | None = None
    options: Options | None = None


class EmbedBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /api/embed. Without an input it loads the model."""

    model: Name
    input: str | list[str] | None = None
    truncate: bool | None = None
    dimensions: int | None = None
    options: Options | None = None
    keep_alive: str | int | float | None = None


class EmbeddingsBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /api/embeddings, the older way to ask for one embedding."""

    model: Name
    prompt: str | None = None
    options: Options | None = None
    keep_alive: str | int | float | None = None


PROMPT = ("prompt", "system", "images", "suffix", "template", "raw", "context")
"""The fields that /api/generate has and /api/chat has not."""
PASSED_ON = ("think", "options", "format", "keep_alive", "truncate", "shift")


def read_chat(given: Members, model_name: str, session_id: str | None) -> tuple[ChatRequest, bool]:
    """Check the body of POST /api/chat; return the request, and whether its answer is streamed.

    model_name: the model that answers where the body names none. session_id: the one that the request names.

    Errors: BadRequest.
    """
    given = {name: value for name, value in given.items() if kind_of(value) != "null"}
    if session_id is not None:  # it may be named in the header alone
        given["session_id"] = Raw(msgspec.json.encode(session_id))
    limits = LIMITS.read({name: given.pop(name) for name in LIMITS.names & given.keys()}, "", Fields(EXPECTED))
    chat, is_streamed = chat_body.read_chat(given, model_name, may_be_bare=True)
    return replace(chat, is_kept=chat.session_id is not None, extras={**chat.extras, **limits}), is_streamed


def read_generate(given: Members, model_name: str, session_id: str | None) -> tuple[ChatRequest, bool]:
    """Check the body of POST /api/generate likewise; the prompt becomes the user's message.

    Errors: BadRequest.
    """
    body = GENERATE.read(given, "", Fields(EXPECTED))
    prompt = {name: body[name] for name in PROMPT if body.get(name)}
    conversation = _conversation(prompt)
    chat = ChatRequest(
        model=body.get("model") or model_name,
        session_id=session_id if conversation else None,
        is_kept=bool(conversation) and session_id is not None,
        messages=conversation,
        extras={name: body[name] for name in PASSED_ON if name in body},
        generate=prompt,
    )
    return chat, body.get("stream", True)


def read_show(given: Members) -> tuple[str, bytes]:
    """Check the body of POST /api/show; return the model that it names, and the body for Ollama.

    Errors: BadRequest.
    """
    if not _is_given(given, "model") and _is_given(given, "name"):
        given = {**given, "model": given["name"]}
    model, body = _read(SHOW, given)
    body.pop("name", None)
    return model, msgspec.json.encode(body)


def read_embed(given: Members) -> tuple[str, bytes]:
    """Check the body of POST /api/embed likewise.

    Errors: BadRequest.
    """
    model, body = _read(EMBED, given)
    return model, msgspec.json.encode(body)


def read_embeddings(given: Members) -> tuple[str, bytes]:
    """Check the body of POST /api/embeddings likewise.

    Errors: BadRequest.
    """
    model, body = _read(EMBEDDINGS, given)
    return model, msgspec.json.encode(body)


def _read(shape: Shape, given: Members) -> tuple[str, dict[str, Any]]:
    if not _is_given(given, "model"):
        raise BadRequest("model is required")
    body = shape.read(given, "", Fields(EXPECTED))
    return body["model"], body


def _is_given(given: Members, name: str) -> bool:
    """Tell whether a field is there, and neither null nor an empty text."""
    value = given.get(name)
    return value is not None and bytes(memoryview(value)[: len("null")]) not in (b"null", b'""')


def _conversation(prompt: dict[str, Any]) -> tuple[Message, ...]:
    """Return the conversation that means the same as a prompt; without one there is none."""
    if "prompt" not in prompt:
        return ()
    asked = Message(role="user", content=prompt["prompt"], images=prompt.get("images", ()))
    return (Message(role="system", content=prompt["system"]), asked) if "system" in prompt else (asked,)


def _context(value: Raw, path: str, fields: Fields) -> Raw | None:
    """Keep a list of tokens as its JSON."""
    try:
        tokens = msgspec.json.decode(value, type=list[int])
    except msgspec.DecodeError as error:
        raise fields.wrong(path) from error
    return value.copy() if tokens else None


def _input(value: Raw, path: str, fields: Fields) -> Raw:
    """Keep a text, or a list of texts, as its JSON."""
    kind = kind_of(value)
    if kind not in ("str", "array"):
        raise fields.wrong(path, kind)
    for index, each in enumerate(shapes.items(value, path, fields) if kind == "array" else ()):
        if kind_of(each) != "str":
            raise BadRequest(f"{path}[{index}]: expected a text, got {kind_of(each)}")
    return value


LIMITS = Shape(Limits)
GENERATE = Shape(
    GenerateBody,
    prompt=shapes.text,
    system=shapes.text,
    images=images.images,
    suffix=shapes.text,
    template=shapes.text,
    context=_context,
    options=options,
    format=messages.read_format,
)
SHOW = Shape(ShowBody, system=shapes.text, template=shapes.text, options=options)
EMBED = Shape(EmbedBody, input=_input, options=options)
EMBEDDINGS = Shape(EmbeddingsBody, prompt=shapes.text, options=options)
