"""The reading of a body's values: a short one is decoded as its type says, a long one stays its JSON.

The modules that declare a body use it. A value is a `msgspec.Raw`, a view of the body: a value that outlives the
request is copied here. A Raw that is kept is never an empty text, list or object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from clawgate.errors import BadRequest
from clawgate.sessions import TextOrJson
from clawgate.web.door.reading import Members, kind_of

SHORT_BYTES = 1 << 14
"""A value up to this length is decoded; one emoji makes four bytes of each of its characters."""
MAX_IGNORED = 20


class Fields:
    """The fields of a wire format while one body is read: the words for each, and the names that no field has.

    `ignored` keeps those names, so that a misspelt field is seen: at most 20, each once and cut short.
    """

    def __init__(self, words: Mapping[str, str]) -> None:
        """Take the words for what a field should have been, by its name or its whole path."""
        self.ignored: list[str] = []
        self._words = words

    def ignore(self, path: str) -> None:
        """Keep a name that no field has; it counts once for all messages."""
        name = _general(path)[:64]
        if len(self.ignored) < MAX_IGNORED and name not in self.ignored:
            self.ignored.append(name)

    def wrong(self, path: str, got: str = "") -> BadRequest:
        """Return the error that says what was expected in a field, and what was found where that is known."""
        name = _general(path)
        words = self._words.get(name) or self._words[name.rpartition(".")[2]]
        return BadRequest(f"{path}: expected {words}" + (f", got {got}" if got else ""))


def _general(path: str) -> str:
    return re.sub(r"\[\d+\]", "[]", path)


Name = Annotated[str, Meta(min_length=1)]
"""The type of a text that is not empty."""
Read = Callable[[Raw, str, Fields], Any]
"""Reads a value at a path."""


class Shape:
    """The readers of one type of object: some members have functions of their own, the rest their types."""

    def __init__(self, kind: type[msgspec.Struct], *, is_lenient: bool = False, **own: Read) -> None:
        """Treat a null as absent where the type allows it; a lenient shape does so with every null."""
        known = msgspec.structs.fields(kind)
        self.names = frozenset(field.encode_name for field in known)
        self._readers = {field.encode_name: own.get(field.encode_name) or short(field.type) for field in known}
        self._required = tuple(field.encode_name for field in known if field.required)
        self._nullable = frozenset(field.encode_name for field in known if is_lenient or field.default is None)

    def read(self, given: Members, where: str, fields: Fields) -> dict[str, Any]:
        """Read members whose paths begin with `where`; unknown ones are kept in `fields.ignored`.

        Errors: BadRequest that names the field by its path.
        """
        if not self.names.issuperset(given):
            for name in given:
                if name not in self.names:
                    fields.ignore(where + name)
        read = {}
        for name, value in given.items():
            reader = self._readers.get(name)
            if reader is not None and not (name in self._nullable and is_null(value)):
                read[name] = reader(value, where + name, fields)
        for name in self._required:
            if name not in read:
                raise fields.wrong(where + name)
        return read


def short(kind: Any) -> Read:
    """Make a reader that decodes a short value and refuses a long one unseen."""
    decoder = msgspec.json.Decoder(kind)

    def read(value: Raw, path: str, fields: Fields) -> Any:
        if len(value) > SHORT_BYTES:
            raise fields.wrong(path, f"{len(value)} bytes")
        try:
            return decoder.decode(value)
        except msgspec.DecodeError as error:
            got = re.search(r"got `(\w+)`", str(error))
            raise fields.wrong(path, got[1] if got else "") from error

    return read


def unless_short(read_long: Read, kind: Any, is_kept: Callable[[Any], bool] = lambda _: True) -> Read:
    """Make a reader that decodes a short, right value; the other reader keeps its JSON, or says what is wrong.

    is_kept: tells whether a decoded value may stay decoded.
    """
    decoder = msgspec.json.Decoder(kind)

    def read(value: Raw, path: str, fields: Fields) -> Any:
        if len(value) <= SHORT_BYTES:
            try:
                decoded = decoder.decode(value)
            except msgspec.DecodeError:
                decoded = None
            if decoded is not None and is_kept(decoded):
                return decoded
        return read_long(value, path, fields)

    return read


def text(value: Raw, path: str, fields: Fields) -> TextOrJson:
    """Keep a text as its JSON."""
    if kind_of(value) != "str":
        raise fields.wrong(path, kind_of(value))
    return value.copy() if len(value) > len('""') else ""


def objects(value: Raw, path: str, fields: Fields) -> tuple[dict[str, Any], ...] | Raw:
    """Keep a list of objects as its JSON."""
    given = items(value, path, fields)
    for index, item in enumerate(given):
        if kind_of(item) != "object":
            raise BadRequest(f"{path}[{index}]: expected `object`, got `{kind_of(item)}`")
    return value.copy() if given else ()


def items(value: Raw, path: str, fields: Fields) -> list[Raw]:
    """Take a list apart."""
    if kind_of(value) != "array":
        raise fields.wrong(path, kind_of(value))
    return msgspec.json.decode(value, type=list[Raw])


def members(value: Raw, path: str, fields: Fields) -> Members:
    """Take an object apart."""
    if kind_of(value) != "object":
        raise fields.wrong(path, kind_of(value))
    return msgspec.json.decode(value, type=Members)


def required(given: Members, name: str, kind: str, path: str, fields: Fields) -> Raw:
    """Return a member that has to be there and of this kind, as `kind_of` names it; `path` is that of the object.

    Errors: BadRequest.
    """
    value = given.get(name)
    if value is None or kind_of(value) != kind:
        raise fields.wrong(path + name, "" if value is None else kind_of(value))
    return value


def name(given: Members, name: str, path: str, fields: Fields) -> Raw:
    """Return a member that has to be a text that is not empty.

    Errors: BadRequest.
    """
    value = required(given, name, "str", path, fields)
    if len(value) <= len('""'):
        raise fields.wrong(path + name, "an empty one")
    return value


def is_null(value: Raw) -> bool:
    """Tell whether a value is null."""
    return len(value) == len("null") and memoryview(value)[0] == ord("n")
