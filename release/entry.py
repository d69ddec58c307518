"""The binary's beginning: the command line, or as `python -m MODULE` a module that the binary carries."""

from __future__ import annotations

import runpy
import sys

from clawgate.cli import main


def run() -> int:
    """Run what the arguments name; return the exit status."""
    if sys.argv[1:2] != ["-m"] or len(sys.argv) == 2:
        return main()
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(run())
