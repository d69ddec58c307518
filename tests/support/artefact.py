"""What `make onefile` and `make binary` have put into `dist/`, for the tests that run it.

A test of an artefact never builds: that takes minutes, and `.ci/run` does it before the tests. One that is absent, or
older than what it is made of, would say nothing about this checkout.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from release import wheel
from tests.support.tools import ROOT

DIST = ROOT / "dist"
ONEFILE = "clawgate.pyz"
BINARY = f"clawgate-linux-{os.uname().machine}"
SOURCES = {"release", *wheel.SOURCES} - {"README.md"}
"""What the artefacts are made of; a later change of the README alters no more than a description in them."""


def artefact(name: str) -> Path:
    """Return the path of an artefact; skip the test where it cannot run, is absent, or is older than its sources.

    Errors: fails instead of skipping where the environment variable `CI` is set, as `require` does.
    """
    if sys.platform != "linux":
        _refuse(f"dist/{name} is for Linux")
    path = DIST / name
    if not path.is_file():
        _refuse(f"there is no dist/{name}: `make {_target(name)}` makes it")
    newest = max(_sources(), key=lambda source: source.stat().st_mtime)
    if newest.stat().st_mtime > path.stat().st_mtime:
        _refuse(f"dist/{name} is older than {newest.relative_to(ROOT)}: `make {_target(name)}` makes it anew")
    return path


def _target(name: str) -> str:
    return "onefile" if name == ONEFILE else "binary"


def _refuse(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _sources() -> Iterator[Path]:
    for name in SOURCES:
        if (ROOT / name).is_file():
            yield ROOT / name
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
