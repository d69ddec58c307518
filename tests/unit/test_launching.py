"""What a person types to start this program, in each form that it has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clawgate import launching


def test_the_binary_is_started_by_its_own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/my programs/clawgate")
    assert launching.program() == "'/my programs/clawgate'"


def test_the_one_file_is_started_by_its_own_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "PEX-INFO").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PEX", "/opt/clawgate/bin/clawgate")
    assert launching.program() == "/opt/clawgate/bin/clawgate"


def test_a_package_is_started_by_its_script_or_its_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PEX", "/another/program.pex")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert launching.program() == f"{tmp_path}/python -m clawgate"
    (tmp_path / "clawgate").touch()
    assert launching.program() == f"{tmp_path}/clawgate"
