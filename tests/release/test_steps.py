"""A build whose step fails ends with a line that names the step, and one that is killed is done again."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from release.steps import publish
from release.wheel import SOURCES
from tests.support.tools import DEADLINE_S, ROOT


def test_a_step_that_fails_is_one_line() -> None:
    failing = "from release.steps import run; run(['sh', '-c', 'exit $STATUS'], {'STATUS': '3'})"
    done = subprocess.run(
        [sys.executable, "-c", failing], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (done.returncode, done.stderr) == (1, "release: this step failed: sh -c 'exit $STATUS'\n")


def test_make_builds_again_whatever_of_its_sources_has_changed() -> None:
    named = re.search(r"^SOURCES := (.*?)\)$", (ROOT / "Makefile").read_text("utf-8"), re.M | re.S)
    assert named
    assert {"release", *SOURCES} <= set(named[1].split())


def test_a_build_that_is_killed_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, target = tmp_path / "build" / "made", tmp_path / "dist" / "clawgate"
    made.parent.mkdir()
    for content in (b"old", b"new"):
        made.write_bytes(content)
        publish(made, target)
        assert target.read_bytes() == content
        said = target.with_name("clawgate.sha256").read_text()
        assert said == f"{hashlib.sha256(content).hexdigest()}  clawgate\n"
    made.write_bytes(b"newer")
    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(made, target)
    assert target.read_bytes() == b"new"


def killed(*_: object) -> None:
    """End as a build does that is killed."""
    raise KeyboardInterrupt
