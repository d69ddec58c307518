"""The types of the routes' bodies, and their checks: each mistake is named with its field and what was expected.

chat.py and sessions.py use them. Long values (messages, tools, a format) stay the bytes that they were, copied out of
the body; only short ones are decoded.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from clawgate.config.options import Options
from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message, TextOrJson
from clawgate.web.api.options import read_options
from clawgate.web.door import images, shapes
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, Shape

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
SessionId = Annotated[str, Meta(pattern=rf"\A{SESSION_ID.pattern}\Z")]
Messages = Annotated[tuple[Message, ...], Meta(min_length=1)]
INTERRUPT_BYTES = 4 << 10
EXPECTED = {
    "messages": "a list of at least one message",
    "messages[]": 'an object like {"role": "user", "content": "…"}',
    "role": '"system", "user", "assistant" or "tool"',
    "content": "a text",
    "message": 'a text, or one object like {"role": "user", "content": "…"}',
    "continue": "true",
    "session_id": "1 to 128 letters, digits, _ or -",
    "run_id": "1 to 128 letters, digits, _ or -",
    "on_busy": '"interrupt" or "reject"',
    "on_disconnect": '"stop" or "detach"',
    "think": "true, false or a level",
    "options": "an object",
    "format": '"json" or a JSON schema',
    "tools": "a list of objects",
    "keep_alive": 'a duration like "5m", or seconds',
    "stream": "true or false",
    "model": "a text",
    "thinking": "a text",
    "tool_name": "a text",
    "tool_call_id": "a text",
    "images": f"a list of at most {images.MAX_IMAGES} pictures",
    "images[]": "a picture (PNG, JPEG, WebP, …) as base64",
    "tool_calls": "a list of objects",
    "interrupted": "true or false",
    "refused": "true or false",
}
"""The words for what a field should have been, in a refusal."""


class ChatBody(msgspec.Struct, frozen=True, kw_only=True, rename={"is_continue": "continue"}):
    """The body of POST /api/chat. `think` to `keep_alive` are passed on to Ollama.

    Source: Ollama docs/api.md, "Generate a chat completion".
    """

    messages: Messages | None = None
    message: str | Message | None = None
    is_continue: Literal[True] | None = None
    session_id: SessionId | None = None
    stream: bool = True
    model: str | None = None
    on_busy: Literal["interrupt", "reject"] = "interrupt"
    on_disconnect: Literal["stop", "detach"] = "stop"
    think: bool | str | None = None
    options: Options | None = None
    format: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    keep_alive: str | int | float | None = None


PASSED_ON = ("think", "options", "format", "tools", "keep_alive")


class InterruptBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /api/interrupt."""

    session_id: SessionId | None = None
    run_id: SessionId | None = None


def read_chat(given: Members, model_name: str) -> tuple[ChatRequest, bool]:
    """Check the body of POST /api/chat; return the request, and whether its answer is streamed.

    model_name: the model that answers where the body names none.

    Errors: BadRequest.
    """
    fields = Fields(EXPECTED)
    body = CHAT.read(given, "", fields)
    ways = [name for name in ("messages", "message", "continue") if name in body]
    if len(ways) != 1:
        found = " and ".join(ways) or "none of them"
        raise BadRequest(f"expected exactly one of `messages`, `message` and `continue`, got {found}")
    if "continue" in body and "session_id" not in body:
        raise BadRequest("session_id: expected the session whose answer is to be continued, got none")
    chat = ChatRequest(
        model=body.get("model", model_name),
        session_id=body.get("session_id"),
        messages=body.get("messages"),
        message=body.get("message"),
        is_continue="continue" in body,
        extras={name: body[name] for name in PASSED_ON if name in body},
        on_busy=body.get("on_busy", "interrupt"),
        on_disconnect=body.get("on_disconnect", "stop"),
        ignored=tuple(fields.ignored),
    )
    return chat, body.get("stream", True)


def read_interrupt(given: Members) -> InterruptBody:
    """Check the body of POST /api/interrupt.

    Errors: BadRequest.
    """
    body = InterruptBody(**INTERRUPT.read(given, "", Fields(EXPECTED)))
    if body.session_id is None and body.run_id is None:
        raise BadRequest("session_id: expected the session to interrupt (or a run_id), got neither")
    return body


def session_id_of(given: Members) -> str | None:
    """Return the session that a body names, even where the rest of the body is wrong."""
    try:
        return _session_id(given["session_id"], "session_id", Fields(EXPECTED))  # type: ignore[no-any-return]
    except (KeyError, BadRequest):
        return None


def _format(value: Raw, path: str, fields: Fields) -> TextOrJson | dict[str, Any]:
    if kind_of(value) == "str":
        return shapes.text(value, path, fields)
    return value.copy() if shapes.members(value, path, fields) else {}


def _options(value: Raw, path: str, fields: Fields) -> dict[str, Any]:
    return read_options(shapes.members(value, path, fields), path)


def _messages(value: Raw, path: str, fields: Fields) -> tuple[Message, ...]:
    messages = tuple(
        _message(each, f"{path}[{index}]", fields) for index, each in enumerate(shapes.items(value, path, fields))
    )
    if not messages:
        raise fields.wrong(path)
    return messages


def _message(value: Raw, path: str, fields: Fields) -> Message:
    return Message(**MESSAGE.read(shapes.members(value, path, fields), f"{path}.", fields))


def _message_or_text(value: Raw, path: str, fields: Fields) -> Message:
    if kind_of(value) == "str":
        return Message(role="user", content=_any_text(value, path, fields))
    return _any_message(value, path, fields)  # type: ignore[no-any-return]


def _is_light(message: Message) -> bool:
    """Tell whether a message may stay decoded: pictures are checked; a `{}` of tool calls takes 24 times its JSON."""
    return not (message.tool_calls or message.images)


_session_id = shapes.short(SessionId)
_any_text = shapes.unless_short(shapes.text, str)
_any_message = shapes.unless_short(_message, Message, _is_light)
CHAT = Shape(
    ChatBody,
    messages=shapes.unless_short(_messages, Messages, lambda messages: all(map(_is_light, messages))),
    message=_message_or_text,
    options=_options,
    format=shapes.unless_short(_format, str | dict[str, Any]),
    tools=shapes.unless_short(shapes.objects, list[dict[str, Any]]),
)
INTERRUPT = Shape(InterruptBody)
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
