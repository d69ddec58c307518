"""The steps of a build: the commands that it runs, and the sum beside what it has made."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a step; its output is shown as it comes. Errors: SystemExit, with a line that names the command."""
    if subprocess.run(command, cwd=cwd, env={**os.environ, **(environment or {})}, check=False).returncode:
        raise SystemExit(f"release: this step failed: {shlex.join(command)}")


def publish(made: Path, target: Path) -> None:
    """Move a whole file to its place, with `NAME.sha256` beside it as `sha256sum -c` reads it, and say how large it is.

    The sum is written first: a build that is killed before the file follows leaves the old one, so make builds again.
    """
    total = hashlib.sha256(made.read_bytes()).hexdigest()
    target.parent.mkdir(exist_ok=True)
    target.with_name(f"{target.name}.sha256").write_text(f"{total}  {target.name}\n")
    made.replace(target)
    print(f"{target.parent.name}/{target.name}: {target.stat().st_size / 1e6:.1f} MB")
