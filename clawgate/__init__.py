"""clawgate: a gateway that streams a local model's answers, can be interrupted at any moment and continues from there.

The data's way is the order of the rooms: web/ ⇄ relay/ ⇄ ollama/ ⇄ Ollama, with sessions/ beside relay/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Blueprint, Flask

    from clawgate.config import Config

__version__ = "0.1.0"


def create_app(config: Config | None = None) -> Flask:
    """Build the whole gateway as a Flask application; without a config, every setting has its default."""
    from clawgate.app import create_app as build  # here, so that `clawgate --version` need not import Flask

    return build(config)


def create_blueprint(config: Config | None = None) -> Blueprint:
    """Build the API alone, for another Flask application to register under a prefix of its own."""
    from clawgate.app import create_blueprint as build

    return build(config)
