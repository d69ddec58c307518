"""Fixtures of the artefacts' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.onefile import Onefile
from tests.support.artefact import ONEFILE, artefact


@pytest.fixture(scope="module")
def onefile(tmp_path_factory: pytest.TempPathFactory) -> Onefile:
    """The one file, with a cache and a folder for temporary files that a module's tests share."""
    return Onefile(artefact(ONEFILE), tmp_path_factory.mktemp("onefile"))


@pytest.fixture
def fresh(tmp_path: Path) -> Onefile:
    """The one file where it was never started."""
    return Onefile(artefact(ONEFILE), tmp_path / "onefile")
