"""The Makefile's own words, where a step of it fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.tools import DEADLINE_S, ROOT, require


def test_weights_that_no_index_has_leave_other_ways(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found' >&2\nexit 1\n")
    python.chmod(0o755)
    (tmp_path / ".run").touch()
    command = [require("make", "the test runs a target of the Makefile"), "--old-file", str(tmp_path / ".run")]
    made = subprocess.run(
        [*command, "run", "MODEL=qwen2.5-coder:0.5b", f"VENV={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert made.returncode == 2
    assert "PIP_INDEX_URL names another index" in made.stderr
    assert "`ollama pull qwen2.5-coder:0.5b`, or `clawgate embedded --weights FILE.gguf`" in made.stderr
    assert not (tmp_path / ".qwen").exists()
