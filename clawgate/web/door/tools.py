"""Tools and their calls, between Ollama's form and those of other APIs: each form is written as JSON, none is decoded.

Ollama nests what describes a function: `{"type": "function", "function": {"name", "description", "parameters"}}`; its
calls have their arguments as an object.
Source: Ollama docs/api.md, "Chat request (with tools)"; api/types.go, ToolCall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec import Raw

from clawgate.errors import BadRequest
from clawgate.web.door import shapes
from clawgate.web.door.reading import Members, parse_object
from clawgate.web.door.responses import one_line
from clawgate.web.door.shapes import Fields

Json = bytes | bytearray | Raw
MAX_NAME_BYTES = 128
"""The name of a tool that is called: Anthropic's own bound; OpenAI's is 64. Ollama gets it once more with each result
of the call, of which a body may have 16,000: without a bound, 324 KiB became 381 MiB."""


class Call(NamedTuple):
    """A call of a tool, as the model made it; the arguments are the JSON of an object."""

    id: str
    name: str
    arguments: bytes


def call_of(call: Mapping[str, Any], unnamed: str) -> Call:
    """Read one of Ollama's calls; `unnamed` is the id of a call that has none, as those of an older Ollama.

    Servers that speak Ollama's API beside OpenAI's may write the arguments as the text that OpenAI makes of them.
    """
    function = call.get("function")
    given = function if isinstance(function, dict) else {}
    id_, name, arguments = call.get("id"), given.get("name"), given.get("arguments")
    return Call(
        id_ if isinstance(id_, str) and id_ else unnamed,
        name if isinstance(name, str) else "",
        one_line(_object_of(arguments)),
    )


def _object_of(arguments: object) -> Mapping[str, Any]:
    """Return the arguments of a call; none where they are no object, and no text of one."""
    if isinstance(arguments, str):
        with suppress(BadRequest):
            return parse_object(arguments.encode())
    return arguments if isinstance(arguments, dict) else {}


def called_name(given: Members, path: str, fields: Fields) -> Raw:
    """Return the name of the tool that a call is of; `path` is that of the object.

    Errors: BadRequest.
    """
    name = shapes.name(given, "name", path, fields)
    check_name(name, f"{path}name")
    return name


def check_name(name: Raw, path: str) -> None:
    """Check the length of the name of a tool that is called.

    Errors: BadRequest.
    """
    length = len(name) - len('""')
    if length > MAX_NAME_BYTES:
        raise BadRequest(f"{path}: expected at most {MAX_NAME_BYTES} bytes, got {length}")


def called(id_: Json, name: Json, arguments: Json) -> bytes:
    """Write a call of a conversation in Ollama's form, from the JSON of each of its parts."""
    return b"".join((b'{"id":', id_, b',"function":{"name":', name, b',"arguments":', arguments, b"}}"))


def function(name: Json, description: Json | None, parameters: Json | None) -> bytes:
    """Write a function that the model may call in Ollama's form, from the JSON of each of its parts."""
    parts: list[Json] = [b'{"type":"function","function":{"name":', name]
    if description is not None:
        parts += (b',"description":', description)
    if parameters is not None:
        parts += (b',"parameters":', parameters)
    return b"".join((*parts, b"}}"))


def listed(items: Sequence[bytes]) -> Raw | tuple[()]:
    """Write a list of such JSON; nothing for an empty one."""
    return Raw(b"[%b]" % b",".join(items)) if items else ()
