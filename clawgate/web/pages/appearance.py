"""A page for its reader: its template in the reader's language, with the reader's theme.

The words are in `static/words.*.json`, read once here for the templates and by the page's script when the language is
switched. Cookies hold the reader's language and theme, so that the first paint is right already. The page names all of
its script's modules, so that the browser fetches them at once and not import by import.
"""

from __future__ import annotations

import posixpath
import re

import msgspec
from flask import Request, Response, make_response, render_template

from clawgate.web.pages.files import STATIC, Files

LANGUAGES = ("en", "zh")
THEMES = ("auto", "light", "dark")
SCRIPTS = {"chat.html": "page/chat.js", "setup.html": "page/setup.js"}
"""The script of each template."""


def modules_of(script: str) -> tuple[str, ...]:
    """Return all modules that a script imports, by way of others too."""
    found = [script]
    for module in found:
        for name in re.findall(r'from "([^"]+)"', (STATIC / module).read_text(encoding="utf-8")):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(module), name))
            if path not in found:
                found.append(path)
    return tuple(found[1:])


class Appearance:
    """The language and the theme in which a page is shown."""

    def __init__(self, page_files: Files) -> None:
        self._files = page_files
        self._words: dict[str, dict[str, str]] = {
            language: msgspec.json.decode((STATIC / f"words.{language}.json").read_bytes(), type=dict[str, str])
            for language in LANGUAGES
        }
        self._modules = {template: modules_of(script) for template, script in SCRIPTS.items()}

    def language(self, request: Request) -> str:
        """Choose the language by the reader's switch, else by Accept-Language."""
        chosen = request.cookies.get("clawgate_language")
        return chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]

    def show(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        """Render a template with the words `w["…"]` in the reader's language."""
        theme = request.cookies.get("clawgate_theme")
        language = self.language(request)
        response = make_response(
            render_template(
                template,
                w=self._words[language],
                modules=self._modules[template],
                language=language,
                theme=theme if theme in THEMES else THEMES[0],
                files=self._files.address(),
                **values,
            ),
            status,
        )
        response.headers["Content-Language"] = language
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("Accept-Language", "Cookie"))
        return response
