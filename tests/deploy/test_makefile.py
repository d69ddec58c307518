"""The Makefile where something is lacking: each target begins, a second try goes on, a failed step names its cure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.tools import DEADLINE_S, ROOT, require


@pytest.mark.parametrize(
    "target", ["run", "test", "lint", "docs", "bench", "guard", "onefile", "binary", "constraints"]
)
def test_a_target_makes_the_environment_that_is_not_there(target: str, tmp_path: Path) -> None:
    done = make("--dry-run", "--always-make", f"VENV={tmp_path / 'absent'}", target)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"-m venv {tmp_path / 'absent'}\n" in done.stdout


def test_an_environment_without_pip_is_made_again(tmp_path: Path) -> None:
    """Debian's Python without python3-venv leaves one with a python and no pip, and so does a Ctrl-C."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").touch()
    assert "-m venv" in commands_for(tmp_path)
    (programs / "pip").touch()
    assert "-m venv" not in commands_for(tmp_path)


def test_weights_that_no_index_has_leave_other_ways(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found' >&2\nexit 1\n")
    python.chmod(0o755)
    (tmp_path / ".run").touch()
    made = make("--old-file", str(tmp_path / ".run"), "run", "MODEL=qwen2.5-coder:0.5b", f"VENV={tmp_path}")
    assert made.returncode == 2
    assert "PIP_INDEX_URL names another index" in made.stderr
    assert "`ollama pull qwen2.5-coder:0.5b`, or `clawgate embedded --weights FILE.gguf`" in made.stderr
    assert not (tmp_path / ".qwen").exists()


def commands_for(environment: Path) -> str:
    """Return what `make` would run before it starts clawgate."""
    done = make("--dry-run", f"VENV={environment}", f"{environment}/.run")
    assert done.returncode == 0, done.stderr
    assert "-m pip install" in done.stdout
    return done.stdout


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the checkout, to its end."""
    command = [require("make", "the test asks it"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
