"""What a request may say: JSON bodies into checked values, each mistake named with its field and what was expected.

Used by web/chat.py. The reading of the body is here too, because its limit is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from flask import Request
from msgspec import Meta
from werkzeug.exceptions import HTTPException

from clawgate.config import ModelConfig
from clawgate.errors import BadRequest, ModelNotAllowed, TooLarge, UnsupportedMediaType
from clawgate.relay.desk import Order
from clawgate.sessions import Message
from clawgate.sockets import ReadDeadlines

log = logging.getLogger(__name__)

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
SessionId = Annotated[str, Meta(pattern=rf"\A{SESSION_ID.pattern}\Z")]
READ_BYTES = 1 << 16
MAX_DEPTH = 100
"""Deepest nesting of a body: decoding bears more, but what it decoded must be encoded again deeper in the stack."""
TOO_DEEP = "body: expected JSON, got one that is nested too deeply"
BROKEN_OFF = "body: expected all of it, got one that breaks off or is not chunked as HTTP wants"
MAX_CONTAINERS = 1 << 17
"""Objects and lists in a body: one of 15 bytes takes 500 in memory, and a million of them took 600 MiB and 2 s."""
_UNCOUNTED = bytes(set(range(256)) - set(b'"{[:'))
T = TypeVar("T")


class ChatBody(msgspec.Struct, frozen=True, kw_only=True, rename={"is_continue": "continue"}):
    """The body of POST /api/chat. `think` to `keep_alive` are passed on to Ollama as they are.

    Source: Ollama docs/api.md, "Generate a chat completion".
    """

    messages: Annotated[tuple[Message, ...], Meta(min_length=1)] | None = None
    message: str | Message | None = None
    is_continue: Literal[True] | None = None
    session_id: SessionId | None = None
    stream: bool = True
    model: str | None = None
    on_busy: Literal["interrupt", "reject"] = "interrupt"
    think: bool | str | None = None
    options: dict[str, Any] | None = None
    format: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    keep_alive: str | int | float | None = None

    def order(self, model: str, ignored: tuple[str, ...], request_id: str) -> Order:
        """Make the order of it for the desk."""
        message = Message(role="user", content=self.message) if isinstance(self.message, str) else self.message
        extras = {name: value for name in PASSED_ON if (value := getattr(self, name)) is not None}
        return Order(
            model=model,
            session_id=self.session_id,
            messages=self.messages,
            message=message,
            is_continue=bool(self.is_continue),
            extras=extras,
            on_busy=self.on_busy,
            ignored=ignored,
            request_id=request_id,
        )


PASSED_ON = ("think", "options", "format", "tools", "keep_alive")


class InterruptBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /api/interrupt."""

    session_id: SessionId | None = None
    run_id: SessionId | None = None


CHAT_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(ChatBody))
MESSAGE_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(Message))

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
    "think": "true, false or a level",
    "options": "an object",
    "format": '"json" or a JSON schema',
    "tools": "a list of objects",
    "keep_alive": 'a duration like "5m", or seconds',
    "stream": "true or false",
    "model": "a text",
}
"""What a field is told to be when it is not; what is not here is told in msgspec's words."""


def read_chat(given: Mapping[str, Any], model: ModelConfig, request_id: str = "") -> tuple[Order, bool]:
    """Check the object of POST /api/chat: the order, and whether the answer is to be streamed.

    Errors: BadRequest, ModelNotAllowed.
    """
    body = convert(_without_nulls(given), ChatBody)
    ways = [name for name in ("messages", "message", "continue") if given.get(name) is not None]
    if len(ways) != 1:
        found = " and ".join(ways) or "none of them"
        raise BadRequest(f"expected exactly one of `messages`, `message` and `continue`, got {found}")
    if body.is_continue and body.session_id is None:
        raise BadRequest("session_id: expected the session whose answer is to be continued, got none")
    name = body.model if body.model is not None else model.model_name
    if name not in (model.model_name, *model.allowed_models):
        allowed = ", ".join((model.model_name, *model.allowed_models))
        raise ModelNotAllowed(f"model: expected one of {allowed}")
    return body.order(name, _unknown_fields(given), request_id), body.stream


def read_interrupt(given: Mapping[str, Any]) -> InterruptBody:
    """Check the object of POST /api/interrupt.

    Errors: BadRequest.
    """
    body = convert(given, InterruptBody)
    if body.session_id is None and body.run_id is None:
        raise BadRequest("session_id: expected the session to interrupt (or a run_id), got neither")
    return body


def read_object(request: Request, max_bytes: int, deadline: ReadDeadlines | None = None) -> dict[str, Any]:
    """Read a request's body as one JSON object; without a deadline it may take as long as it likes to come.

    Errors: UnsupportedMediaType, TooLarge, BadRequest.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Content-Type: expected application/json")
    with deadline.over(request.environ.get("gunicorn.socket")) if deadline else nullcontext():
        data = _read_bytes(request, max_bytes)
    if _count_outside_strings(data, b"{", b"[") > MAX_CONTAINERS:
        raise BadRequest(f"body: expected at most {MAX_CONTAINERS} objects and lists, got more")
    try:
        given = msgspec.json.decode(data)
    except RecursionError as error:
        raise BadRequest(TOO_DEEP) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"body: expected JSON in UTF-8, got something else ({error})") from error
    if not isinstance(given, dict):
        raise BadRequest("body: expected a JSON object")
    members = _count_members(given)
    if _count_outside_strings(data, b":", enough=members) > members:  # of two with one name the dict has the last
        raise BadRequest("body: expected each name once in an object, got one twice")
    return given


def _count_members(given: dict[str, Any]) -> int:
    """Count the members of all objects.

    Errors: BadRequest where one is nested too deeply.
    """
    members = 0
    level: list[Any] = [given]
    for _ in range(MAX_DEPTH):
        if not level:
            return members
        members += sum(len(each) for each in level if isinstance(each, dict))
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
    if level:
        raise BadRequest(TOO_DEEP)
    return members


def _count_outside_strings(data: bytes, *signs: bytes, enough: int = MAX_CONTAINERS) -> int:
    """Count signs of JSON that are not in strings; those in strings too where all together are not more than `enough`.

    In pieces, because a list of all strings of a hostile body would take twenty times its length.
    """
    found = sum(map(data.count, signs))
    if found <= enough:
        return found
    found, is_in_string = 0, False
    rest = data.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _UNCOUNTED)
    for start in range(0, len(rest), READ_BYTES):
        parts = rest[start : start + READ_BYTES].split(b'"')
        outside = b"".join(parts[is_in_string::2])
        found += sum(map(outside.count, signs))
        is_in_string ^= len(parts) % 2 == 0
    return found


def _read_bytes(request: Request, max_bytes: int) -> bytes:
    """Read at most max_bytes, counting: a chunked body over Flask's own limit is cut without a word."""
    too_large = TooLarge(f"body: expected at most {max_bytes} bytes (server.max_body_bytes)")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    pieces: list[bytes] = []
    left = max_bytes + 1
    while left > 0 and (piece := _read_piece(request, min(left, READ_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise too_large
    data = b"".join(pieces)
    if len(data) < (request.content_length or 0):  # gunicorn ends the body of a client that left without a word
        raise BadRequest(BROKEN_OFF)
    return data


def _read_piece(request: Request, size: int) -> bytes:
    try:
        piece: bytes = request.stream.read(size)
    except HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - each server has its own; its traceback would quote the body
        log.debug("a request's body could not be read: %s", type(error).__name__)
        raise BadRequest(BROKEN_OFF) from None
    return piece


def convert(given: Mapping[str, Any], kind: type[T]) -> T:
    """Check a decoded object against its type.

    Errors: BadRequest that names the field by its path.
    """
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(_mistake(str(error))) from error


def _mistake(text: str) -> str:
    """Turn msgspec's ``Expected `str`, got `int` - at `$.messages[0].content` `` into the field and what it wants."""
    reason, _, path = text.partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or "body"
    missing = re.search(r"missing required field `(\w+)`", reason)
    if missing:
        field, reason = f"{field}.{missing[1]}", "Expected a value, got none"
    name = re.sub(r"\[\d+\]", "[]", field)
    expected = EXPECTED.get(name) or EXPECTED.get(name.rpartition(".")[2])
    if expected is None:
        return f"{field}: {reason[:1].lower()}{reason[1:]}"
    got = re.search(r"got `(\w+)`", reason)
    return f"{field}: expected {expected}" + (f", got {got[1]}" if got else "")


def _without_nulls(given: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the null members of messages: histories in OpenAI's shape have `"content": null` beside tool calls."""

    def clean(message: Any) -> Any:
        return (
            {name: each for name, each in message.items() if each is not None} if isinstance(message, dict) else message
        )

    cleaned = dict(given)
    if isinstance(given.get("messages"), list):
        cleaned["messages"] = [clean(message) for message in given["messages"]]
    if "message" in given:
        cleaned["message"] = clean(given["message"])
    return cleaned


def _unknown_fields(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what nobody will read, so that a misspelt field is seen; at most 20, each cut short."""
    unknown = [name for name in given if name not in CHAT_FIELDS]
    for where, messages in (("messages[]", given.get("messages")), ("message", [given.get("message")])):
        for message in messages or ():
            if isinstance(message, dict) and not MESSAGE_FIELDS.issuperset(message):
                unknown += [f"{where}.{name}" for name in message if name not in MESSAGE_FIELDS]
    return tuple(dict.fromkeys(name[:64] for name in unknown[:20]))
