"""The chat page: one template and its static files, nothing inline, so that the strict CSP holds."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flask import Blueprint, render_template

from clawgate.config import Config

PACKAGE = Path(__file__).resolve().parent.parent
STATIC = PACKAGE / "static"


def templates() -> Path:
    """Return the folder of templates: mapped into the package in a wheel, beside it in a checkout."""
    beside = PACKAGE.parent / "templates"
    if (beside / "chat.html").is_file() and (PACKAGE.parent / "setup.cfg").is_file():
        return beside
    return Path(str(files("clawgate") / "templates"))


class PageRoutes:
    """The one page."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/", "page", self.page)

    def page(self) -> str:
        """Render the chat page."""
        return render_template(
            "chat.html", model=self._config.model.model_name, wants_token=self._config.server.auth_token is not None
        )
