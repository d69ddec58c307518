"""The command line as people use it: a process run to its end, with its output and its exit status.

`CLAWGATE_COMMAND=dist/clawgate.pyz` has the tests run another `clawgate` than this checkout's.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.language import assert_has_chinese
from tests.support.tools import DEADLINE_S, ROOT

OTHER = tuple(shlex.split(os.environ.get("CLAWGATE_COMMAND", "")))
if OTHER and "/" in OTHER[0]:
    OTHER = (str(ROOT / OTHER[0]), *OTHER[1:])
CLAWGATE = OTHER or (sys.executable, "-m", "clawgate")
FOR_PEOPLE = ("clawgate: ", "ok: ", "not ready: ", "warning: ")
"""The beginnings of lines that are printed in the reader's language."""


class Finished(NamedTuple):
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str


def clawgate(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT, encoding: str = "utf-8"
) -> Finished:
    """Run `clawgate ARGUMENTS…` to its end, as a rule out of this checkout; each line for people has its Chinese."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [*CLAWGATE, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding=encoding,
        timeout=DEADLINE_S,
        check=False,
    )
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith(FOR_PEOPLE):
            assert_has_chinese(line)
    return Finished(done.returncode, done.stdout, done.stderr)


def assert_is_one_line(finished: Finished, status: int) -> str:
    """Assert that a command failed with this status, nothing on stdout and one line on stderr; return the line."""
    assert finished.status == status, finished
    assert finished.stdout == ""
    assert finished.stderr.startswith("clawgate: "), finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert finished.stderr.endswith("\n")
    return finished.stderr.rstrip("\n")
