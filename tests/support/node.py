"""A Node process that runs cases: it is told the name of each on a line, and answers with lines of JSON.

A script for it reads stdin line by line (`for await (const line of createInterface({ input: process.stdin }))`).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.tools import DEADLINE_S, require


class NodeCases:
    """The process. One starts in 0.05 s; the tests of a module share it."""

    def __init__(self, script: Path, *arguments: str) -> None:
        node = require("node", "the client is a JavaScript library")
        self._child = subprocess.Popen(
            [node, str(script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def begin(self, name: str) -> None:
        """Begin a case."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{name}\n")
        self._child.stdin.flush()

    def told(self) -> Any:
        """Return what the next line says.

        Errors: AssertionError where the process has ended.
        """
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the process has ended"
        return json.loads(line)

    def run(self, name: str) -> Any:
        """Run a case that answers with one line."""
        self.begin(name)
        return self.told()

    def stop(self) -> None:
        """End the process; it ends by itself when nothing more is asked."""
        try:
            self._child.communicate(timeout=DEADLINE_S)
        finally:
            self._child.kill()
        assert self._child.returncode == 0
