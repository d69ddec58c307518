"""The chat page: one template and its static files, nothing inline, so that the strict CSP holds.

Its words are in `static/words.*.json`, read once here for the templates and by the page's script when the language is
switched. The reader's choice of language and appearance is in cookies, so that the first paint is right already.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import msgspec
from flask import Blueprint, Request, Response, make_response, render_template, request

from clawgate.config import Config
from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient

PACKAGE = Path(__file__).resolve().parent.parent
STATIC = PACKAGE / "static"
LANGUAGES = ("en", "zh")
THEMES = ("auto", "light", "dark")
ASK_TIMEOUT_S = 0.5
ASK_EVERY_S = 2.0


def templates() -> Path:
    """Return the folder of templates: mapped into the package in a wheel, beside it in a checkout."""
    beside = PACKAGE.parent / "templates"
    if (beside / "chat.html").is_file() and (PACKAGE.parent / "setup.cfg").is_file():
        return beside
    return Path(str(files("clawgate") / "templates"))


class Look:
    """In which language and appearance a page is shown."""

    def __init__(self) -> None:
        self._words: dict[str, dict[str, str]] = {
            language: msgspec.json.decode((STATIC / f"words.{language}.json").read_bytes(), type=dict[str, str])
            for language in LANGUAGES
        }

    def language(self, asked: Request) -> str:
        """Choose by the reader's switch, else by Accept-Language."""
        chosen = asked.cookies.get("clawgate_language")
        return chosen if chosen in LANGUAGES else asked.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]

    def show(self, asked: Request, template: str, status: int = 200, **values: object) -> Response:
        """Render a template with the words `w["…"]` in the reader's language."""
        theme = asked.cookies.get("clawgate_theme")
        language = self.language(asked)
        response = make_response(
            render_template(
                template,
                w=self._words[language],
                language=language,
                theme=theme if theme in THEMES else THEMES[0],
                **values,
            ),
            status,
        )
        response.headers["Content-Language"] = language
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("Accept-Language", "Cookie"))
        return response


class Abilities:
    """Knows whether the model can think: asks Ollama until it has said so, at most every 2 s, never for long.

    Threads: `_asking` is held by the one that asks; the others take what is known.
    """

    def __init__(self, client: OllamaClient, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._model = model
        self._clock = clock
        self._asking = threading.Lock()
        self._abilities: frozenset[str] | None = None
        self._asked_at = -ASK_EVERY_S

    def thinks(self) -> bool | None:
        """Say whether it can think; None while Ollama has not said."""
        if self._abilities is None and self._asking.acquire(blocking=False):
            try:
                if self._clock() >= self._asked_at + ASK_EVERY_S:
                    self._abilities = self._ask()
                    self._asked_at = self._clock()
            finally:
                self._asking.release()
        return None if self._abilities is None else "thinking" in self._abilities

    def _ask(self) -> frozenset[str] | None:
        try:
            said = self._client.ask("/api/show", ASK_TIMEOUT_S, {"model": self._model})
            return frozenset(map(str, said["capabilities"]))
        except (UpstreamFailure, KeyError, TypeError):
            return None


class PageRoutes:
    """The chat page."""

    def __init__(self, config: Config, client: OllamaClient, look: Look) -> None:
        self._config = config
        self._abilities = Abilities(client, config.model.model_name)
        self._look = look

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/", "page", self.page)

    def page(self) -> Response:
        """Render the chat page."""
        return self._look.show(
            request,
            "chat.html",
            model=self._config.model.model_name,
            thinks={True: "yes", False: "no", None: "unknown"}[self._abilities.thinks()],
            heartbeat_s=self._config.stream.heartbeat_seconds,
        )
