"""The Pythons of this machine beside the tests' own: the system's, and those that pyenv has installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.support.tools import DEADLINE_S


def require_python(minor: int) -> str:
    """Return the path of a Python 3.MINOR; skip the test where this machine has none, in CI too."""
    path = _found(minor)
    if path is None:
        pytest.skip(f"this machine has no Python 3.{minor}")
    return path


@cache
def _found(minor: int) -> str | None:
    on_path = shutil.which(f"python3.{minor}")
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    known = sorted(versions.glob(f"3.{minor}.*/bin/python3")) if versions.is_dir() else []
    for path in ([on_path] if on_path else []) + [str(each) for each in known]:
        command = [path, "-c", "import sys; print(sys.version_info[1], sys.executable)"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        said, _, program = done.stdout.strip().partition(" ")
        if said == str(minor):  # not a shim of pyenv that only says where there is one
            return program
    return None
