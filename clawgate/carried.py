"""The folders that lie beside the package in a checkout and inside it everywhere else: templates, nginx, systemd.

A wheel maps them into the package (setup.cfg), and so do the one file and the binary, which are made of a wheel.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder(name: str) -> Path:
    """Return one of these folders."""
    package = Path(str(files("clawgate")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
