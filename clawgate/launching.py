"""The commands that start this program, whatever form it has: a module of ours as a process, and what a person types.

An installed package and the one file for Python (which lays out an environment of its own and runs in it) have a Python
to start: `python -m MODULE`. Where this process reads neither PYTHON variables nor modules of the working directory, as
in the one file, its processes do not either. The binary has none beside itself. There the program is its own Python: it
takes `-m` as Python does (release/entry.py). `clawgate up` starts its processes by it.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """Return the command for `python -m MODULE ARGUMENT…` in this form of the program."""
    isolated = ["-I"] if sys.flags.isolated else []
    return [sys.executable, *isolated, "-m", module, *arguments]


def program() -> str:
    """Return the words with which a person starts this program in a shell, from any folder and without a PATH to it."""
    if getattr(sys, "frozen", False):
        return shlex.quote(sys.executable)
    onefile = os.environ.get("PEX")
    if onefile and Path(sys.prefix, "PEX-INFO").exists():  # else the variable is another program's
        return shlex.quote(onefile)
    script = Path(sys.executable).with_name("clawgate")
    return shlex.quote(str(script)) if script.exists() else f"{shlex.quote(sys.executable)} -m clawgate"
