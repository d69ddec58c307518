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


def finish(made: Path) -> None:
    """Write `NAME.sha256` beside a file, as `sha256sum -c` reads it, and say how large the file is."""
    total = hashlib.sha256(made.read_bytes()).hexdigest()
    made.with_name(f"{made.name}.sha256").write_text(f"{total}  {made.name}\n")
    print(f"{made.parent.name}/{made.name}: {made.stat().st_size / 1e6:.1f} MB")
