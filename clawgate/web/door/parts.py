"""The reading of a message's content that is a list of parts: texts and pictures, in any order.

Wire formats use it, each with a table of its own kinds of parts. Ollama takes one text and one list of pictures a
message, so the texts are joined by a blank line, as Ollama's templates join messages that follow one another. Nothing
is decoded but the name of a part's kind.
Source: Ollama template/template.go, collate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Raw

from clawgate.errors import BadRequest
from clawgate.sessions import TextOrJson
from clawgate.web.door import shapes
from clawgate.web.door.images import MAX_IMAGES, image
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields

SHOWN_CHARS = 64
_BLANK_LINE = rb"\n\n"


class Content:
    """The text and the pictures of one message, while its parts are read."""

    def __init__(self) -> None:
        self._text = bytearray()  # the inside of a JSON string
        self._images = bytearray()  # the inside of a JSON list
        self._image_count = 0

    @property
    def text(self) -> TextOrJson:
        """All texts in their order, with a blank line between two."""
        return Raw(b"".join((b'"', self._text, b'"'))) if self._text else ""

    @property
    def images(self) -> tuple[str, ...] | Raw:
        """All pictures in their order, as JSON of the base64 that Ollama takes."""
        return Raw(b"".join((b"[", self._images, b"]"))) if self._images else ()

    def add_text(self, value: Raw, path: str, fields: Fields) -> None:
        """Add a text.

        Errors: BadRequest.
        """
        if kind_of(value) != "str":
            raise fields.wrong(path, kind_of(value))
        text = memoryview(value)[1:-1]
        if self._text and text:
            self._text += _BLANK_LINE
        self._text += text

    def add_picture(self, value: Raw, path: str, fields: Fields) -> None:
        """Add a picture: base64, or an address that has it inside. No other address is fetched.

        Errors: BadRequest that says what it was, and does not repeat it.
        """
        self._image_count += 1
        if self._image_count > MAX_IMAGES:
            raise BadRequest(f"{path}: expected at most {MAX_IMAGES} pictures in a message, got more")
        base64 = image(value, path, fields)
        self._images += b',"' if self._images else b'"'
        self._images += base64
        self._images += b'"'


ReadPart = Callable[[Members, str, Fields, Content], None]
"""Adds one part, an object at a path, to the content of its message."""


def read_content(value: Raw, path: str, fields: Fields, kinds: Mapping[str, ReadPart]) -> Content:
    """Read a content: a text, a null, or a list of parts, each of one of these kinds.

    Shape: `fields` has words for the path itself and for `content[]`, and for what the readers of parts refuse.
    Errors: BadRequest that names the part, and its kind where that is none of these.
    """
    content = Content()
    kind = kind_of(value)
    if kind == "str":
        content.add_text(value, path, fields)
    elif kind != "null":
        for index, each in enumerate(shapes.items(value, path, fields)):
            read_part(each, f"{path}[{index}]", fields, kinds, content)
    return content


def read_part(value: Raw, path: str, fields: Fields, kinds: Mapping[str, ReadPart], content: Content) -> None:
    """Read one part, and add it to a content."""
    part = shapes.members(value, path, fields)
    kind = type_of(part, path, kinds)
    kinds[kind](part, f"{path}.", fields, content)


def type_of(given: Members, path: str, kinds: Mapping[str, object]) -> str:
    """Return the `type` of an object, which has to be one of these.

    Errors: BadRequest that names them, and what was found.
    """
    words = Fields({"type": one_of(kinds)})
    if "type" not in given:
        raise words.wrong(f"{path}.type", "nothing")
    name = _read_name(given["type"], f"{path}.type", words)
    if name not in kinds:
        raise words.wrong(f"{path}.type", f'"{shown(name)}"')
    return name  # type: ignore[no-any-return]


def one_of(names: Mapping[str, object]) -> str:
    """Write names for a refusal: `"a", "b" or "c"`."""
    *most, last = (f'"{name}"' for name in names)
    return f"{', '.join(most)} or {last}" if most else last


def shown(name: str) -> str:
    """Write what a client sent on one line, cut short."""
    return name[:SHOWN_CHARS] if name.isprintable() else ascii(name[:SHOWN_CHARS])[1:-1]


_read_name = shapes.short(str)
