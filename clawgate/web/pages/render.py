"""`POST /render`: Markdown in, harmless HTML out, so that the page needs no JavaScript library."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from clawgate.config import ServerConfig
from clawgate.errors import TooLarge
from clawgate.sessions import text_of
from clawgate.sockets import Clients
from clawgate.web.door import shapes
from clawgate.web.door.concurrency import ConcurrencyLimit
from clawgate.web.door.reading import read_object
from clawgate.web.door.responses import Payload, json_response
from clawgate.web.door.shapes import Fields, Shape
from clawgate.web.pages.markdown import Renderer

BODY_BYTES = 1 << 20
MAX_TEXT_BYTES = 256 << 10
"""The limit is three times an answer of 20,000 tokens."""
MAX_RENDERS = 2
"""The renders at a time. A text takes milliseconds as a rule; more at once would end no sooner and slow the streams."""


class RenderBody(msgspec.Struct, frozen=True):
    """The body of POST /render."""

    text: str


class Rendered(Payload, frozen=True):
    """Markdown as HTML."""

    html: str


EXPECTED = {"text": "a text"}
_RENDER = Shape(RenderBody, text=shapes.text)


class RenderRoutes:
    """`POST /render` for the page."""

    def __init__(self, server: ServerConfig, clients: Clients, limit: ConcurrencyLimit) -> None:
        self._server = server
        self._clients = clients
        self._renderer = Renderer()
        self._limit = limit

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/render", "render", self.render, methods=["POST"])

    def render(self) -> Response:
        """Render `{"text": …}` as `{"html": …}`."""
        given = read_object(request, self._server.max_body_bytes, self._clients, BODY_BYTES)
        text = text_of(_RENDER.read(given, "", Fields(EXPECTED))["text"])
        if len(text) > MAX_TEXT_BYTES or len(text.encode()) > MAX_TEXT_BYTES:
            raise TooLarge(f"text: expected at most {MAX_TEXT_BYTES} bytes of Markdown")
        with self._limit.taken():
            return json_response(Rendered(self._renderer.html_of(text)))
