"""Another machine, as far as its network goes: a network namespace with two cables to this one, which can be cut."""

from __future__ import annotations

import itertools
import os
import subprocess
from types import TracebackType

import pytest

from tests.support.tools import require

CABLES = 2
_numbers = itertools.count(1)


class OtherMachine:
    """A network namespace. A context manager that removes it.

    Shape: `addresses` are its own, one for each cable; `wrapper` runs a command there.
    Errors: skips without the right to make one, which containers lack as a rule.
    """

    def __init__(self) -> None:
        self._ip = require("ip", "the test cuts a network")
        self._name = f"t{os.getpid() % 10_000}x{next(_numbers)}"
        self.addresses: list[str] = []
        self.wrapper = (self._ip, "netns", "exec", self._name)
        made = subprocess.run([self._ip, "netns", "add", self._name], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"this user may make no network namespace: {made.stderr.strip()}")
        for number in range(CABLES):
            self._lay(number)

    def __enter__(self) -> OtherMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run("netns", "del", self._name)

    def cut(self, number: int) -> None:
        """Cut a cable: what is sent is lost, and nobody is told."""
        self._there("link", "set", self._far(number), "down")

    def mend(self, number: int) -> None:
        """Mend a cable."""
        self._there("link", "set", self._far(number), "up")

    def _lay(self, number: int) -> None:
        near, far, net = f"{self._name}n{number}", self._far(number), f"10.{os.getpid() % 200 + 20}.{number + 1}"
        try:
            self._run("link", "add", near, "type", "veth", "peer", "name", far, "netns", self._name)
        except AssertionError as error:
            self._run("netns", "del", self._name)
            pytest.skip(f"this user may lay no cable: {error}")
        self._run("addr", "add", f"{net}.1/24", "dev", near)
        self._run("link", "set", near, "up")
        self._there("addr", "add", f"{net}.2/24", "dev", far)
        self._there("link", "set", far, "up")
        self.addresses.append(f"{net}.2")

    def _far(self, number: int) -> str:
        return f"{self._name}f{number}"

    def _there(self, *words: str) -> None:
        self._run("-n", self._name, *words)

    def _run(self, *words: str) -> None:
        done = subprocess.run([self._ip, *words], capture_output=True, text=True, check=False)
        assert not done.returncode, f"ip {' '.join(words)}: {done.stderr.strip()}"
