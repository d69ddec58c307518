"""The chat page: one template and its static files, nothing inline, so that the strict CSP holds."""

from __future__ import annotations

from flask import Blueprint, Response, request

from clawgate.config import Config
from clawgate.ollama.abilities import KnownAbilities
from clawgate.web.door.accepting import takes
from clawgate.web.pages.appearance import Appearance

HTML = "text/html"


class PageRoutes:
    """The chat page."""

    def __init__(self, config: Config, abilities: KnownAbilities, appearance: Appearance) -> None:
        self._config = config
        self._abilities = abilities
        self._appearance = appearance

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/", "page", self.page)

    def page(self) -> Response:
        """Render the chat page; a program that takes no page is told that Ollama's API is here."""
        if not takes(request, HTML):
            response = Response("Ollama is running", mimetype="text/plain")
            response.vary.add("Accept")
            return response
        model = self._config.model.model_name
        return self._appearance.show(
            request,
            "chat.html",
            model=model,
            thinks={True: "yes", False: "no", None: "unknown"}[self._abilities.of(model).thinking],
            heartbeat_s=self._config.stream.heartbeat_seconds,
            detach_s=self._config.stream.detach_seconds,
            picture_bytes=min(self._config.session.max_image_bytes, self._config.server.max_body_bytes * 3 // 4),
        )
