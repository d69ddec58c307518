"""`make run` on a machine that lacks something: the second try goes on where the first could not."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.tools import DEADLINE_S, ROOT, require


def test_an_environment_without_pip_is_made_again(tmp_path: Path) -> None:
    """Debian's Python without python3-venv leaves one with a python and no pip, and so does a Ctrl-C."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").touch()
    assert "-m venv" in commands_for(tmp_path)
    (programs / "pip").touch()
    assert "-m venv" not in commands_for(tmp_path)


def commands_for(environment: Path) -> str:
    """Return what `make` would run before it starts clawgate."""
    command = [require("make", "the test asks it"), "--dry-run", f"VENV={environment}", f"{environment}/.run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "-m pip install" in done.stdout
    return done.stdout
