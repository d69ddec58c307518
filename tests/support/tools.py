"""Tools of every part of the harness: the one deadline, programs that may be missing, ports, polled conditions."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

DEADLINE_S = 20.0
"""The time for anything that ought to happen at once. Only a hang reaches it."""

POLL_S = 0.005
ROOT = Path(__file__).resolve().parents[2]
"""The checkout: where `nginx/`, `templates/` and the package lie."""

_ADMIN_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_T = TypeVar("_T")


def require(tool_or_module: str, why: str) -> str:
    """Return the path of a program, or the name of a module; skip the test where there is neither.

    Errors: fails instead of skipping where the environment variable `CI` is set: there nothing may be missing.
    """
    path = shutil.which(tool_or_module, path=_ADMIN_PATH)
    if path is not None:
        return path
    if _is_importable(tool_or_module):
        return tool_or_module
    reason = f"{tool_or_module} is not installed: {why}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_package(name: str) -> str:
    """Return the folder of a JavaScript package that is installed globally; skip the test where it is not."""
    folder = _global_packages(require("npm", "it knows where JavaScript packages are")) / name
    return str(folder) if folder.is_dir() else require(name, f"npm install --global {name}")


@cache
def _global_packages(npm: str) -> Path:
    """Ask npm, which takes 0.4 s to say it."""
    return Path(subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True).stdout.strip())


def require_procfs() -> None:
    """Skip the test where there is no /proc to read a process's threads and sockets from (fail in CI)."""
    if not Path("/proc/self/fd").is_dir():
        require("procfs", "the test reads /proc")


def require_mount_namespace() -> list[str]:
    """Return the command that starts another one where mounts are its own; skip the test where there is none.

    Errors: fails in CI without `unshare`; skips there too where the kernel forbids namespaces.
    """
    command = [require("unshare", "the test mounts file systems for one process"), "-rm"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    if tried.returncode:
        pytest.skip(f"the kernel lets this user mount nothing: {tried.stderr.strip()}")
    return command


def refuse_thread(_: threading.Thread) -> None:
    """Stand in for `threading.Thread.start` where the system gives no further thread."""
    raise RuntimeError("can't start new thread")


def free_port() -> int:
    """Return a loopback port that nothing listens on now; another process may take it before the caller does."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(predicate: Callable[[], _T | None], what: str, deadline_s: float = DEADLINE_S) -> _T:
    """Poll a condition that has no event until it is truthy, and return its value.

    Errors: AssertionError that names `what` and the last value seen.
    """
    ends_at = time.monotonic() + deadline_s
    pause_s = POLL_S
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= ends_at:
            raise AssertionError(f"not within {deadline_s:g} s: {what} (last seen: {value!r})")
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, 10 * POLL_S)  # looks cost more than most waits: a browser, or a request


def on_a_free_port(start: Callable[[], _T], tries: int = 3) -> _T:
    """Start something on a port of `free_port`, and again where another process took the port first."""
    for left in reversed(range(tries)):
        try:
            return start()
        except AssertionError as error:
            if not left or "in use" not in str(error):
                raise
    raise AssertionError("no tries")


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False
