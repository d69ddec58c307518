"""A program under test as a child process: started, known to be ready, and ended whatever happens.

Always holds: leaving the `with` block of a Child ends that process and what it started, and nothing else.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from bench.proc import tree

READY = re.compile(r"Server started on \S*:(\d+)")
START_S = 20.0
STOP_S = 5.0
CHECKOUT = Path(__file__).resolve().parent.parent


class Child:
    """A child that prints `Server started on :PORT` when it is ready; what it prints goes to files of its name."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.out, self.log = folder / f"{name}.out", folder / f"{name}.log"
        self.spawned_at = time.monotonic()
        with self.out.open("wb") as stdout, self.log.open("wb") as stderr:
            environment = os.environ | (environment or {})
            self.process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment, cwd=CHECKOUT)
        self.pid = self.process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def wait_for_port(self) -> int:
        """Return the port that the child announces.

        Errors: RuntimeError with the end of its log, when it ends or says nothing in time.
        """
        while self.is_starting():
            if found := READY.search(self.out.read_text(errors="replace")):
                return int(found[1])
            time.sleep(0.003)
        raise RuntimeError(self.trouble("did not start"))

    def is_starting(self) -> bool:
        """Say whether the child lives and still has time to become ready."""
        return self.process.poll() is None and time.monotonic() < self.spawned_at + START_S

    def trouble(self, what: str) -> str:
        """Say what happened to the child, with the last lines of what it wrote to stderr."""
        return f"{self.name} {what}: " + " | ".join(self.log.read_text(errors="replace").splitlines()[-5:])

    def stop(self) -> None:
        """End the child: politely, then, after STOP_S, at once with all that it started."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                for pid in tree(self.pid):
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()


def python(*arguments: str) -> list[str]:
    """Return the command that runs a module of this checkout with this interpreter."""
    return [sys.executable, "-m", *arguments]


def raise_file_limit() -> None:
    """Allow as many open files as the system grants: a stream takes up to three in the gateway."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_at_sigterm() -> None:
    """End by SystemExit at SIGTERM, so that the children are ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
