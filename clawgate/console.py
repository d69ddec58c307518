"""Lines on stdout for people and scripts: an output that is full, or whose reader has left, stops no process."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """Print a line at once; where that fails, this one and all further ones are dropped."""
    try:
        print(line, flush=True)
    except OSError:
        drop_output()


def drop_output() -> None:
    """Let go of what is printed from now on, and of what has not left yet: Python would try again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    if sys.stdout is not None:  # as it is where it was closed from the start
        sys.stdout.flush()
