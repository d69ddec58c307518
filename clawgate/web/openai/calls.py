"""The calls of tools in a conversation: OpenAI writes arguments as a JSON text, Ollama as an object.

The text is taken out of its quotes a window at a time, and checked like a body: neither its length nor its shape takes
more memory than its bytes.
Source: OpenAI API reference, "Create chat completion", `tool_calls`; Ollama docs/api.md, `tool_calls`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from clawgate.errors import BadRequest
from clawgate.web.door import shapes
from clawgate.web.door.parts import shown
from clawgate.web.door.reading import kind_of, parse_object
from clawgate.web.door.shapes import Fields, Shape
from clawgate.web.door.tools import check_name

EXPECTED = {
    "tool_calls": "a list of calls",
    "tool_calls[]": 'a call like {"id": "…", "type": "function", "function": {"name": "…", "arguments": "{}"}}',
    "function": 'an object like {"name": "…", "arguments": "{}"}',
    "arguments": "a JSON object as a text",
    "name": "a text",
    "id": "a text",
    "type": '"function"',
}
"""The words for what a part of a call should have been, in a refusal."""
JSON_OBJECT = {"format": "json-object", "contentMediaType": "application/json", "contentSchema": {"type": "object"}}
"""A text that is the JSON of an object, as JSON Schema."""
WINDOW_BYTES = 1 << 14
_OPEN_END = re.compile(
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?|\\(?:u[0-9a-fA-F]{0,3})?|[\xc2-\xf4][\x80-\xbf]{0,3})\Z"
)
"""A character, an escape or a pair of escapes that may go on behind the end of a window."""
_OPEN_BYTES = 11


Bytes = bytes | bytearray


class CalledFunction(msgspec.Struct, frozen=True, kw_only=True):
    """The function of a call; `arguments` is the JSON of an object."""

    name: str
    arguments: Annotated[str, Meta(extra_json_schema=JSON_OBJECT)] | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool, as an assistant's message has it."""

    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunction


class Names:
    """The names of the tools that were called so far, by the id of the call: Ollama's templates want the name."""

    def __init__(self) -> None:
        self._by_id: dict[str, str] = {}

    def note(self, call_id: str, name: str) -> None:
        """Note a call; of two with one id the later one counts."""
        self._by_id[call_id] = name

    def of(self, call_id: str) -> str:
        """Return the name; an empty text where no such call is known."""
        return self._by_id.get(call_id, "")


def read_calls(value: Raw, path: str, fields: Fields, names: Names) -> tuple[()] | Raw:
    """Read the calls of an assistant's message as Ollama takes them, and note their names.

    Errors: BadRequest.
    """
    calls = bytearray()
    for index, each in enumerate(shapes.items(value, path, fields)):
        calls += b"," if calls else b"["
        for piece in _call(each, f"{path}[{index}]", fields, names):
            calls += piece
    return Raw(b"".join((calls, b"]"))) if calls else ()


def _call(value: Raw, path: str, fields: Fields, names: Names) -> Iterator[Bytes]:
    call = _CALL.read(shapes.members(value, path, fields), f"{path}.", fields)
    name, arguments = call["function"]
    yield b"{"
    if "id" in call:
        names.note(call["id"], name)
        yield b'"id":%b,' % msgspec.json.encode(call["id"])
    yield b'"function":{"name":%b,"arguments":' % msgspec.json.encode(name)
    yield arguments
    yield b"}}"


def _function(value: Raw, path: str, fields: Fields) -> tuple[str, Bytes]:
    function = _FUNCTION.read(shapes.members(value, path, fields), f"{path}.", fields)
    return function["name"], function.get("arguments", _NONE)


def _name(value: Raw, path: str, fields: Fields) -> str:
    check_name(value, path)
    return _read_short(value, path, fields)  # type: ignore[no-any-return]


def _type(value: Raw, path: str, fields: Fields) -> str:
    name: str = _read_short(value, path, fields)
    if name != "function":
        raise fields.wrong(path, f'"{shown(name)}"')
    return name


def read_arguments(value: Raw, path: str, fields: Fields) -> Bytes:
    """Read the arguments of a call: the JSON of an object, out of the text that it is written as.

    Shape: an empty text is no arguments, and so is the null that some clients write for none.
    Errors: BadRequest.
    """
    if kind_of(value) != "str":
        raise fields.wrong(path, kind_of(value))
    try:
        text = unquoted(value)
        if not text or text.isspace() or text == b"null":
            return _NONE
        parse_object(text)
    except BadRequest as error:
        raise BadRequest(f"{path}: {error.message.removeprefix('body: ')}") from error
    return text


def unquoted(value: Raw, window_bytes: int = WINDOW_BYTES) -> bytearray:
    """Return the UTF-8 of a JSON string, which is a right one: it comes out of a body that was taken apart."""
    inside = memoryview(value)[1:-1]
    text = bytearray()
    start = 0
    while start < len(inside):
        window = bytes(inside[start : start + window_bytes])
        if start + len(window) < len(inside):
            window = window[: _end_of(window)]
        text += msgspec.json.decode(b'"%b"' % window, type=str).encode() if b"\\" in window else window
        start += len(window)
    return text


def _end_of(window: bytes) -> int:
    """Return the place where a window may be cut."""
    start = max(0, len(window) - _OPEN_BYTES)
    while found := _OPEN_END.search(window, start):
        end = found.start()
        backslashes = end - len(window[:end].rstrip(b"\\"))
        if window[end] != _BACKSLASH or backslashes % 2 == 0:  # else it is the second one of an escaped backslash
            return end
        start = end + 1
    return len(window)


_BACKSLASH = ord("\\")
_NONE = b"{}"
_read_short = shapes.short(str)
_FUNCTION = Shape(CalledFunction, is_lenient=True, name=_name, arguments=read_arguments)
_CALL = Shape(ToolCall, is_lenient=True, type=_type, function=_function)
