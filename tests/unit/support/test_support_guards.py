"""The guards of `tests/conftest.py`, on a test file that another pytest runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.tools import DEADLINE_S, ROOT

GUARDED = """
import pytest, socket, threading
from tests import conftest

conftest.LEAK_GRACE_S = 1.0

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait, daemon=True, name="left-behind").start()

def test_leaves_a_socket():
    ring = [socket.socket()]
    ring.append(ring)

@pytest.mark.deadline(0.2)
def test_hangs():
    threading.Event().wait()

def test_ends_its_thread_late():
    threading.Timer(0.2, print).start()
"""


def test_guards_fail_what_hangs_or_leaks_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "test_guarded.py"
    file.write_text(GUARDED)
    options = [
        "-p",
        "tests.conftest",
        "-c",
        str(ROOT / "setup.cfg"),
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
    ]
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    for said in (
        "ERROR at teardown of test_leaves_a_thread",
        "threads outlive the test",
        "left-behind",
        "ERROR at teardown of test_leaves_a_socket",
        "ResourceWarning: unclosed <socket.socket",
        "not over after 0.2 s",
        "most recent call first",
        "1 failed, 3 passed, 2 errors",
    ):
        assert said in result.stdout, result.stdout
