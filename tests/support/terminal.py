"""A program in a real pseudo-terminal, as a person uses it: keys in, a screen out."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.command import OTHER
from tests.support.proc import children_of, is_of_a_binary
from tests.support.screen import Screen
from tests.support.tools import DEADLINE_S, ROOT, require_procfs, wait_for

CTRL_C, CTRL_D, ENTER = b"\x03", b"\x04", b"\r"
_RUN = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv = ["clawgate", *sys.argv[1:]]
runpy.run_module("clawgate", run_name="__main__", alter_sys=True)
"""
_RUN_OTHER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""The terminal is the program's own, so that its Ctrl-C is a signal; without `preexec_fn`, since tests have threads."""


class Terminal:
    """`clawgate ARGUMENTS…` in a terminal of its own. A context manager that ends it.

    Shape: `command` is another clawgate than this checkout's; `before` is Python that runs before ours, and before it
    alone.
    Threads: one; the terminal is read while something is waited for.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        rows: int = 24,
        columns: int = 100,
        before: str = "",
        command: Sequence[str] = OTHER,
    ) -> None:
        require_procfs()
        self.screen = Screen(rows, columns)
        self.raw = b""
        self._fd, terminal = os.openpty()
        self._before = termios.tcgetattr(terminal)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self._program = terminal  # held open, so that what it wrote last can be read
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                *([_RUN_OTHER, *command] if command and not before else [before + _RUN]),
                *arguments,
            ],
            cwd=ROOT,
            env={**clean, "PYTHONPATH": path, "TERM": "xterm-256color", **(env or {})},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        self._read(0)
        if kind is not None:
            print(f"--- the terminal ---\n{self.screen.all}\n---")
        for fd in (self._fd, self._program):
            os.close(fd)

    @property
    def echoes(self) -> bool:
        """True where the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._program)[3] & termios.ECHO)

    def cook(self) -> None:
        """Set the terminal as a shell does that takes it from a stopped program."""
        wait_for(lambda: self._state == "T", "the program is stopped")
        termios.tcsetattr(self._program, termios.TCSANOW, self._before)

    @property
    def is_in_order(self) -> bool:
        """True where the terminal is as it was before the program."""
        return termios.tcgetattr(self._program) == self._before and not {"-25", "2004"} & self.screen.modes

    def type(self, keys: str | bytes) -> None:
        """Press keys; a text is followed by Enter."""
        if keys == CTRL_C:
            wait_for(lambda: self._is_waiting, "the program waits")
        os.write(self._fd, keys if isinstance(keys, bytes) else keys.encode() + ENTER)

    def signal(self, number: int) -> None:
        """Send the program a signal; one that stops it or lets it go on goes to all its processes, as from a shell."""
        wait_for(lambda: self._is_waiting or self._state == "T", "the program waits")
        if number in (signal.SIGSTOP, signal.SIGCONT):
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    @property
    def _is_waiting(self) -> bool:
        """True where the program waits: readline looks for signals before it does, and would miss one in between."""
        return self._state == "S"

    @property
    def _state(self) -> str:
        of_a_binary = [pid for pid in children_of(self.process.pid) if is_of_a_binary(pid)]
        stat = Path(f"/proc/{(of_a_binary or [self.process.pid])[0]}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Read until a pattern is found in all that can be read, from a place of it on.

        Errors: AssertionError with the screen where it does not come.
        """
        ends_at = time.monotonic() + DEADLINE_S
        while True:
            found = re.search(pattern, self.screen.all[after:], re.M)
            if found is not None:
                return found
            if time.monotonic() > ends_at:
                raise AssertionError(f"{pattern!r} does not come:\n{self.screen.all}")
            self._read(0.05)

    def wait_for_prompt(self) -> None:
        """Read until the last line is an empty prompt."""
        self.wait_for(r"^>\Z")

    def wait(self) -> int:
        """Read until the program ends; return its exit status."""
        ends_at = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < ends_at, f"it does not end:\n{self.screen.all}"
            self._read(0.02)
        self._read(0)
        return self.process.returncode

    def _read(self, timeout_s: float) -> None:
        while select.select([self._fd], [], [], timeout_s)[0]:
            data = os.read(self._fd, 65536)
            self.raw += data
            self.screen.feed(data)
            timeout_s = 0
