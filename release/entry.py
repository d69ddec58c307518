"""The binary's beginning: the command line, or as `python -m MODULE` one of clawgate's own modules.

`-I` may come first, as Python has it where it reads no variables and nothing of the working directory: a binary never
does.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys

RUNNING = "/proc/self/exe"


def run() -> int:
    """Run what the arguments name; return the exit status."""
    keep_file()
    # until the command can handle it, a Ctrl-C ends this process as a signal does, and not with a traceback
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from clawgate.cli import main

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, before)
    given = sys.argv[1:]
    if given[:1] == ["-I"]:
        del given[0]
    module = given[1] if given[:1] == ["-m"] and len(given) > 1 else ""
    if module.partition(".")[0] != "clawgate":
        return main()
    sys.argv[:] = given[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def keep_file() -> None:
    """Have later modules read from the file that runs, also where an upgrade has put another in its place.

    PyInstaller opens the file by its name for each module. Without /proc that stays so.
    """
    import pyimod02_importers  # PyInstaller's own, in the binary alone

    archive = pyimod02_importers.pyz_archive
    with contextlib.suppress(OSError):
        if os.path.samefile(RUNNING, archive._filename):
            archive._filename = RUNNING


if __name__ == "__main__":
    raise SystemExit(run())
