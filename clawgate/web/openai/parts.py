"""The parts of a message's content in OpenAI's chat completions: texts and pictures.

A picture comes as a `data:` address. No other address is fetched: the gateway asks nobody but Ollama.
Source: OpenAI API reference, "Create chat completion", `messages[].content`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from clawgate.web.door.parts import Content, ReadPart
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, members

EXPECTED = {
    "content": "a text, null, or a list of parts",
    "content[]": 'a part like {"type": "text", "text": "…"}',
    "text": "a text",
    "refusal": "a text",
    "image_url": 'an object like {"url": "data:image/png;base64,…"}',
    "url": "a picture as an address like data:image/png;base64,…",
}
"""The words for what a part should have been, in a refusal."""


Address = Annotated[str, Meta(extra_json_schema={"format": "byte", "description": "data:image/…;base64,…"})]


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A text."""

    text: str


class RefusalPart(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    """What an assistant has said to refuse: a text."""

    refusal: str


class Picture(msgspec.Struct, frozen=True):
    """A picture by its address."""

    url: Address


class PicturePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: Picture | Address


Part = TextPart | RefusalPart | PicturePart


def text_part(name: str) -> ReadPart:
    """Make the reader of parts whose text has this name."""

    def read(part: Members, path: str, fields: Fields, content: Content) -> None:
        if name not in part:
            raise fields.wrong(path + name)
        content.add_text(part[name], path + name, fields)

    return read


def image_url(part: Members, path: str, fields: Fields, content: Content) -> None:
    """Read a picture: an object with its address, or the address alone, as some clients and Responses send it.

    Errors: BadRequest.
    """
    path += "image_url"
    if "image_url" not in part:
        raise fields.wrong(path)
    value = part["image_url"]
    if kind_of(value) != "str":
        given = members(value, path, fields)
        path += ".url"
        if "url" not in given:
            raise fields.wrong(path)
        value = given["url"]
    content.add_picture(value, path, fields)


PARTS: dict[str, ReadPart] = {
    "text": text_part("text"),
    "image_url": image_url,
    "refusal": text_part("refusal"),
}
"""The kinds of parts, by their types."""
