"""The one file as a user has it: no environment of the tests', a cache and a temporary folder of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.command import Finished
from tests.support.process import ChildProcess
from tests.support.tools import DEADLINE_S


class Started(ChildProcess):
    """A run that goes on. A context manager that ends it."""

    def __enter__(self) -> Started:
        return self


class Onefile:
    """`clawgate.pyz` in a place. `root` is what PEX_ROOT says, `temporary` what TMPDIR does."""

    def __init__(self, path: Path, place: Path) -> None:
        self.path = path
        self.place = place
        self.root = place / "root"
        self.temporary = place / "temporary"
        self.temporary.mkdir(parents=True)
        self.environment = {
            "HOME": str(place),
            "PATH": os.environ.get("PATH", os.defpath),
            "PEX_ROOT": str(self.root),
            "TMPDIR": str(self.temporary),
        }

    def run(
        self, *arguments: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Finished:
        """Run it to its end, by another Python or another command where `before` has one; an empty variable is none."""
        wanted = {name: value for name, value in {**self.environment, **(env or {})}.items() if value}
        done = subprocess.run(
            [*before, str(self.path), *arguments],
            cwd=cwd or self.place,
            env=wanted,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=2 * DEADLINE_S,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def started(self, *arguments: str, cwd: Path | None = None) -> Started:
        """Start it as a process that goes on."""
        return Started([str(self.path), *arguments], cwd=cwd or self.place, env=self.environment, name="onefile")

    def assert_left_nothing(self) -> None:
        """Assert that the temporary folder is as empty as it was."""
        assert list(self.temporary.iterdir()) == []
