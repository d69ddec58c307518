"""The chat page: one template and its static files, nothing inline, so that the strict CSP holds."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, request

from clawgate.config import Config
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.state import CachedQuestion, can_think
from clawgate.web.pages.appearance import Appearance


class PageRoutes:
    """The chat page."""

    def __init__(self, config: Config, client: OllamaClient, appearance: Appearance) -> None:
        self._config = config
        ask = partial(can_think, client, config.model.model_name)
        self._can_think = CachedQuestion(ask, None, is_waited_for=False, is_lasting=True)
        self._appearance = appearance

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/", "page", self.page)

    def page(self) -> Response:
        """Render the chat page."""
        return self._appearance.show(
            request,
            "chat.html",
            model=self._config.model.model_name,
            thinks={True: "yes", False: "no", None: "unknown"}[self._can_think.answer()],
            heartbeat_s=self._config.stream.heartbeat_seconds,
        )
