"""`POST /render`: Markdown in, harmless HTML out, so that the page needs no JavaScript library.

A text alone, or many in one request: the page cuts an answer into blocks and asks for each finished one once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import msgspec
from flask import Blueprint, Response, request
from msgspec import UNSET, Meta, Raw, UnsetType

from clawgate.config import ServerConfig
from clawgate.errors import BadRequest, TooLarge
from clawgate.sessions import TextOrJson, text_of
from clawgate.sockets import Clients
from clawgate.web.door import shapes
from clawgate.web.door.concurrency import ConcurrencyLimit
from clawgate.web.door.reading import Members, read_object
from clawgate.web.door.responses import Payload, json_response
from clawgate.web.door.shapes import Fields, Shape
from clawgate.web.pages.markdown import Renderer

BODY_BYTES = 1 << 20
MAX_TEXT_BYTES = 256 << 10
"""The limit of all texts of a request together: three times an answer of 20,000 tokens."""
MAX_TEXTS = 256
MAX_RENDERS = 2
"""The renders at a time. A text takes milliseconds as a rule; more at once would end no sooner and slow the streams."""


class RenderBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /render: exactly one of `text` and `texts`.

    `definitions` is Markdown of which only the definitions of links and footnotes count: the texts may use them.
    """

    text: str | None = None
    texts: Annotated[list[str], Meta(max_length=MAX_TEXTS)] | None = None
    definitions: str = ""


class Rendered(Payload, frozen=True, kw_only=True):
    """Markdown as HTML: `html` of a `text`, `htmls` of `texts` in their order."""

    html: str | UnsetType = UNSET
    htmls: list[str] | UnsetType = UNSET


EXPECTED = {
    "text": "a text",
    "texts": f"a list of at most {MAX_TEXTS} texts",
    "texts[]": "a text",
    "definitions": "a text",
}


def _texts(value: Raw, path: str, fields: Fields) -> list[TextOrJson]:
    given = shapes.items(value, path, fields)
    if len(given) > MAX_TEXTS:
        raise fields.wrong(path, f"{len(given)}")
    return [shapes.text(each, f"{path}[{index}]", fields) for index, each in enumerate(given)]


_RENDER = Shape(RenderBody, text=shapes.text, texts=_texts, definitions=shapes.text)


def read_render(given: Members) -> tuple[list[str], str, bool]:
    """Check the body of POST /render; return the texts, the definitions, and whether it is one text alone.

    Errors: BadRequest, TooLarge.
    """
    body = _RENDER.read(given, "", Fields(EXPECTED))
    ways = [name for name in ("text", "texts") if name in body]
    if len(ways) != 1:
        raise BadRequest(f"expected exactly one of `text` and `texts`, got {'both' if ways else 'neither'}")
    texts = [text_of(each) for each in (body["texts"] if "texts" in body else [body["text"]])]
    definitions = text_of(body.get("definitions", ""))
    if sum(len(each.encode()) for each in (*texts, definitions)) > MAX_TEXT_BYTES:
        fields = f"{ways[0]} and definitions" if definitions else ways[0]
        raise TooLarge(f"{fields}: expected at most {MAX_TEXT_BYTES} bytes of Markdown")
    return texts, definitions, "text" in body


class RenderRoutes:
    """`POST /render` for the page.

    note_render: gets the seconds that each render took.
    """

    def __init__(
        self, server: ServerConfig, clients: Clients, limit: ConcurrencyLimit, note_render: Callable[[float], None]
    ) -> None:
        self._server = server
        self._clients = clients
        self._renderer = Renderer()
        self._limit = limit
        self._note_render = note_render

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/render", "render", self.render, methods=["POST"])

    def render(self) -> Response:
        """Render `{"text": …}` as `{"html": …}`, `{"texts": […]}` as `{"htmls": […]}`."""
        texts, definitions, is_one = read_render(
            read_object(request, self._server.max_body_bytes, self._clients, BODY_BYTES)
        )
        with self._limit.taken():
            began_at = time.monotonic()
            htmls = self._renderer.htmls_of(texts, definitions)
        self._note_render(time.monotonic() - began_at)
        return json_response(Rendered(html=htmls[0]) if is_one else Rendered(htmls=htmls))
