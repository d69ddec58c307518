"""A child process of the harness: its output on threads, its readable log, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from types import TracebackType
from typing import IO

from tests.support.tools import DEADLINE_S

STOP_S = 5.0
"""The time that a process has to end after a test, before its whole group is killed."""


class ChildProcess:
    """A process in a session of its own, so that it and what it starts can be ended by its own group's id.

    Threads: one per pipe reads the output; `_has_output` guards the lines.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        name: str = "",
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name or command[0]
        self.lines: list[str] = []
        """All output, stdout and stderr as they came."""
        self.stdout: list[str] = []
        self._has_output = threading.Condition()
        self._open_pipes = 2
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=pass_fds,
        )
        assert self.process.stdout
        assert self.process.stderr
        self._readers = [self._reader(self.process.stdout, self.stdout), self._reader(self.process.stderr, None)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The pid of the process that was started."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """True where it has not ended."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """Everything it has printed, for a failing test's report."""
        with self._has_output:
            return "".join(self.lines)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = DEADLINE_S) -> int:
        """Wait for its end and return its exit status.

        Errors: AssertionError with the log when it does not end.
        """
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout:g} s:\n{self.log}") from None

    def wait_for_line(self, pattern: str, timeout: float = DEADLINE_S, *, stdout_only: bool = False) -> re.Match[str]:
        """Wait for a line of output in which the pattern is found.

        Errors: AssertionError with the log when it does not come, at once when the process ends without it.
        """
        lines = self.stdout if stdout_only else self.lines

        def found() -> re.Match[str] | None:
            return next((match for line in lines if (match := re.search(pattern, line.rstrip("\n")))), None)

        with self._has_output:
            self._has_output.wait_for(lambda: found() is not None or not self._open_pipes, timeout)
            match = found()
        if match is None:
            raise AssertionError(f"{self.name} did not print {pattern!r} within {timeout:g} s:\n{self.log}")
        return match

    def wait_for_end_of_output(self, timeout: float = DEADLINE_S) -> None:
        """Wait until no process holds its output: it has ended, and so has everything that it started.

        Errors: AssertionError with the log when one goes on.
        """
        with self._has_output:
            is_over = self._has_output.wait_for(lambda: not self._open_pipes, timeout)
        assert is_over, f"{self.name} left a process behind for {timeout:g} s:\n{self.log}"

    def stop(self, number: int = SIGTERM) -> None:
        """End it and everything that it started: a signal, time to obey, then a kill of its own group."""
        if self.is_running:
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, SIGKILL)
        except ProcessLookupError:  # nothing of it is left
            pass
        self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)

    def _reader(self, pipe: IO[str], also: list[str] | None) -> threading.Thread:
        def read() -> None:
            with pipe:
                for line in pipe:
                    with self._has_output:
                        self.lines.append(line)
                        if also is not None:
                            also.append(line)
                        self._has_output.notify_all()
            with self._has_output:
                self._open_pipes -= 1
                self._has_output.notify_all()

        thread = threading.Thread(target=read, name=f"{self.name}-output", daemon=True)
        thread.start()
        return thread
