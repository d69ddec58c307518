"""A build whose step fails ends with a line that names the step."""

from __future__ import annotations

import subprocess
import sys

from tests.support.tools import DEADLINE_S, ROOT


def test_a_step_that_fails_is_one_line() -> None:
    failing = "from release.steps import run; run(['sh', '-c', 'exit $STATUS'], {'STATUS': '3'})"
    done = subprocess.run(
        [sys.executable, "-c", failing], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (done.returncode, done.stderr) == (1, "release: this step failed: sh -c 'exit $STATUS'\n")
