"""`python -m clawgate.lifeline MODULE ARGUMENT…`: `python -m MODULE ARGUMENT…` that ends with its parent.

`clawgate up` starts its processes with it. The parent holds the other end of stdin and never writes. Stdin ends when
the parent does, in any way (SIGKILL, no memory) and on every system, even before this process begins. Linux's
PR_SET_PDEATHSIG would be a second way for one system, and comes when the parent's *thread* ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

STDIN_FD = 0
STOP_S = 10
"""The time that the process has to end its answers and itself before it is killed."""


def main() -> None:
    """Run the module that the arguments name, with the arguments behind it as its own."""
    # gunicorn forks while this thread lives: it waits in a system call and holds no lock that the fork would copy
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(STDIN_FD, 1):
        pass
    signal.alarm(STOP_S)  # the kernel's own: this thread never runs again if another keeps Python's lock
    signal.pthread_kill(threading.main_thread().ident or 0, _ending())  # the only one that handles signals


def _ending() -> signal.Signals:
    """Choose as `clawgate up` does: SIGINT ends answers properly, but only once the process handles it."""
    handler = signal.getsignal(signal.SIGINT)
    is_handled = callable(handler) and handler is not signal.default_int_handler
    return signal.SIGINT if is_handled else signal.SIGTERM


if __name__ == "__main__":
    main()
