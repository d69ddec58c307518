"""A request's own options for Ollama, checked as those of the configuration are.

Each wire format uses it. Ollama adds options with each version, so an unknown name is no mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from clawgate.config.checks import WrongPart
from clawgate.config.options import MAX_OPTION_BYTES, MAX_OPTIONS, checked
from clawgate.errors import BadRequest
from clawgate.web.door import shapes
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.shapes import Fields, Read


def read_options(given: Members, path: str) -> dict[str, Any]:
    """Check options.

    Errors: BadRequest that names the option.
    """
    if len(given) > MAX_OPTIONS:
        raise BadRequest(f"{path}: expected at most {MAX_OPTIONS} options, got {len(given)}")
    return {name: read_option(name, value, f"{path}.{_shown(name)}") for name, value in given.items()}


def options(value: Raw, path: str, fields: Fields) -> dict[str, Any]:
    """Read an object of options, as a `Shape` does its members."""
    return read_options(shapes.members(value, path, fields), path)


def options_called(names: Mapping[str, str]) -> Read:
    """Make the reader of single options that a wire format has under names of its own: Ollama's name by each."""

    def read(value: Raw, path: str, _fields: Fields) -> Any:
        return read_option(names[path], value, path)

    return read


def read_option(name: str, given: Raw, path: str) -> Any:
    """Check one option, whatever a wire format calls it.

    Errors: BadRequest that names its path.
    """
    if len(given) > MAX_OPTION_BYTES:
        raise BadRequest(f"{path}: expected at most {MAX_OPTION_BYTES} bytes, got {len(given)}")
    try:
        return checked(name, msgspec.json.decode(given))
    except WrongPart as error:
        raise BadRequest(f"{path}: expected {error.expected}, got {kind_of(given)}") from error


def _shown(name: str) -> str:
    """Write any name on one line."""
    return name[:64] if name.isprintable() else ascii(name[:64])[1:-1]
