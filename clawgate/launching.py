"""The command that starts a module of ours as a process of its own, whatever form this program has.

An installed package and the one file for Python (which lays out an environment of its own and runs in it) have a Python
to start: `python -m MODULE`. Where this process reads neither PYTHON variables nor modules of the working directory, as
in the one file, its processes do not either. The binary has none beside itself. There the program is its own Python: it
takes `-m` as Python does (release/entry.py). `clawgate up` starts its processes by it.
"""

from __future__ import annotations

import sys


def command(module: str, *arguments: str) -> list[str]:
    """Return the command for `python -m MODULE ARGUMENT…` in this form of the program."""
    isolated = ["-I"] if sys.flags.isolated else []
    return [sys.executable, *isolated, "-m", module, *arguments]
