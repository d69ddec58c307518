"""How values of a body are read: what is short is decoded as its type says, what is long stays its JSON.

Used where a route says what a body has. A value is a `msgspec.Raw` that looks into the body: what outlives
the request is copied out of it here. A Raw that is kept is never an empty text, list or object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from clawgate.errors import BadRequest
from clawgate.sessions import Text
from clawgate.web.door.reading import Members, kind_of

SHORT_BYTES = 1 << 14
"""A value up to this length is decoded at once; one emoji makes four bytes of each of its characters."""
MAX_IGNORED = 20

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
    "text": "a text",
    "thinking": "a text",
    "tool_name": "a text",
    "tool_call_id": "a text",
    "images": "a list of texts",
    "tool_calls": "a list of objects",
    "interrupted": "true or false",
}
"""The words for what a field should have been."""


class Ignored(list[str]):
    """Names that nobody reads, so that a misspelt field is seen: at most 20, each once and cut short."""

    def note(self, path: str) -> None:
        """Note a name; it counts once for all messages."""
        name = re.sub(r"\[\d+\]", "[]", path)[:64]
        if len(self) < MAX_IGNORED and name not in self:
            self.append(name)


Read = Callable[[Raw, str, Ignored], Any]
"""Reads a value that stands under a path."""


class Shape:
    """How the members of one type of object are read: some by functions of their own, the rest as their types say."""

    def __init__(self, kind: type[msgspec.Struct], *, is_lenient: bool = False, **own: Read) -> None:
        """Take a null for no member where the type allows it; a lenient shape takes every null so."""
        fields = msgspec.structs.fields(kind)
        self.names = frozenset(field.encode_name for field in fields)
        self._readers = {field.encode_name: own.get(field.encode_name) or short(field.type) for field in fields}
        self._required = tuple(field.encode_name for field in fields if field.required)
        self._nullable = frozenset(field.encode_name for field in fields if is_lenient or field.default is None)

    def read(self, given: Members, where: str, ignored: Ignored) -> dict[str, Any]:
        """Check members whose paths begin with `where`; those that are not known are noted.

        Errors: BadRequest that names the field by its path.
        """
        if not self.names.issuperset(given):
            for name in given:
                if name not in self.names:
                    ignored.note(where + name)
        read = {}
        for name, value in given.items():
            reader = self._readers.get(name)
            if reader is not None and not (name in self._nullable and _is_null(value)):
                read[name] = reader(value, where + name, ignored)
        for name in self._required:
            if name not in read:
                raise BadRequest(f"{where}{name}: expected {EXPECTED[name]}")
        return read


def short(kind: Any) -> Read:
    """Make the reader of a value that is decoded: it is refused unseen where it is long."""
    decoder = msgspec.json.Decoder(kind)

    def read(value: Raw, path: str, _: Ignored) -> Any:
        if len(value) > SHORT_BYTES:
            raise BadRequest(f"{path}: expected {expected(path)}, got {len(value)} bytes")
        try:
            return decoder.decode(value)
        except msgspec.DecodeError as error:
            got = re.search(r"got `(\w+)`", str(error))
            raise BadRequest(f"{path}: expected {expected(path)}" + (f", got {got[1]}" if got else "")) from error

    return read


def unless_short(read_long: Read, kind: Any, is_kept: Callable[[Any], bool] = lambda _: True) -> Read:
    """Decode a value where it is short, and right; the other reader keeps its JSON, or says what is wrong.

    is_kept: tells of what was decoded whether it may stay.
    """
    decoder = msgspec.json.Decoder(kind)

    def read(value: Raw, path: str, ignored: Ignored) -> Any:
        if len(value) <= SHORT_BYTES:
            try:
                decoded = decoder.decode(value)
            except msgspec.DecodeError:
                decoded = None
            if decoded is not None and is_kept(decoded):
                return decoded
        return read_long(value, path, ignored)

    return read


def text(value: Raw, path: str, _: Ignored) -> Text:
    """Keep a text as its JSON."""
    if kind_of(value) != "str":
        raise wrong(value, path)
    return value.copy() if len(value) > len('""') else ""


def texts(value: Raw, path: str, _: Ignored) -> tuple[str, ...] | Raw:
    """Keep a list of texts as its JSON."""
    return _list_of("str", value, path)


def objects(value: Raw, path: str, _: Ignored) -> tuple[dict[str, Any], ...] | Raw:
    """Keep a list of objects as its JSON."""
    return _list_of("object", value, path)


def _list_of(kind: str, value: Raw, path: str) -> tuple[Any, ...] | Raw:
    given = items(value, path)
    for index, item in enumerate(given):
        if kind_of(item) != kind:
            raise BadRequest(f"{path}[{index}]: expected `{kind}`, got `{kind_of(item)}`")
    return value.copy() if given else ()


def items(value: Raw, path: str) -> list[Raw]:
    """Take a list apart."""
    if kind_of(value) != "array":
        raise wrong(value, path)
    return msgspec.json.decode(value, type=list[Raw])


def members(value: Raw, path: str) -> Members:
    """Take an object apart."""
    if kind_of(value) != "object":
        raise wrong(value, path)
    return msgspec.json.decode(value, type=Members)


def wrong(value: Raw, path: str) -> BadRequest:
    """Say that a value is not of its kind."""
    return BadRequest(f"{path}: expected {expected(path)}, got {kind_of(value)}")


def expected(path: str) -> str:
    """Say what a field is told to be."""
    name = re.sub(r"\[\d+\]", "[]", path)
    return EXPECTED.get(name) or EXPECTED[name.rpartition(".")[2]]


def _is_null(value: Raw) -> bool:
    return len(value) == len("null") and memoryview(value)[0] == ord("n")
