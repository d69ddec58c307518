"""A real systemd, the first process of namespaces of its own, that knows only the units it is given.

The network is the machine's; /run and /var/cache are its own. It needs root and a kernel that allows namespaces; the
tests skip without.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.proc import children_of
from tests.support.process import ChildProcess
from tests.support.tools import DEADLINE_S, require, wait_for

MANAGER = Path("/lib/systemd/systemd")
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "sockets", "multi-user", "default")
PLACE = Path("/run/box")
"""The folder of the binds; everything below /run is the box's own."""
NAMESPACES = ("--mount", "--pid", "--ipc")

_BOOT = """\
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/cache
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
{binds}
export container=box SYSTEMD_UNIT_PATH={units}
exec {manager} --system --unit=default.target --log-target=console --show-status=no
"""


class Box(ChildProcess):
    """A running systemd. A context manager that ends it, and everything that it started.

    Shape: `units` are texts by file name; `binds` are what appears below `PLACE`, read-only.
    Errors: skips where namespaces cannot be had, or systemd does not start in them.
    """

    def __init__(self, folder: Path, units: Mapping[str, str], binds: Mapping[str, Path]) -> None:
        require("systemctl", "the test runs the shipped units")
        if os.geteuid() or not MANAGER.exists() or not _can_make_namespaces():
            pytest.skip("no root, or no namespaces to be had: a systemd of its own cannot be started")
        for name in TARGETS:
            (folder / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
        for name, text in units.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        boot = folder / "boot.sh"
        boot.write_text(_BOOT.format(binds="\n".join(map(_bind, binds.items())), units=folder, manager=MANAGER))
        super().__init__(
            ["unshare", *NAMESPACES, "--fork", "--mount-proc", "sh", str(boot)], cwd=folder, name="systemd"
        )
        try:
            self.manager = wait_for(lambda: children_of(self.pid), "systemd is there")[0]
            wait_for(lambda: not self.is_running or self._is_up(), "systemd answers")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        if not self.is_running:
            pytest.skip(f"systemd does not start in namespaces here: {self.log[-300:]}")

    def __enter__(self) -> Box:
        return self

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End the namespaces' first process, and with it all of them."""
        for pid in children_of(self.pid):
            os.kill(pid, signal.SIGKILL)
        super().stop(number)

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl inside, and return what it says.

        Errors: AssertionError with its words, and the units' log.
        """
        done = self._run("systemctl", "--no-pager", *arguments)
        assert done.returncode == 0, f"systemctl {' '.join(arguments)}: {done.stdout}{done.stderr}\n{self.log}"
        return done.stdout

    def main_pid(self, unit: str) -> int:
        """Return a service's main process, as this machine counts."""
        inside = int(self.systemctl("show", "--property=MainPID", "--value", unit))
        return next(pid for pid in _tree(self.manager) if _pid_inside(pid) == inside)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "--target", str(self.manager), *NAMESPACES]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    def _is_up(self) -> bool:
        time.sleep(0.05)
        return self._run("systemctl", "list-units").returncode == 0


def python_binds(site: Path) -> tuple[dict[str, Path], str, str]:
    """Give this Python and a folder of packages as binds, its path inside, and the unit's lines that make it run there.

    The unit's user may not read home directories, where a Python and its environment often lie.
    """
    borrowed = Path(sysconfig.get_path("purelib"))
    binds = {"python": Path(sys.base_prefix), "site": site, "borrowed": borrowed}
    program = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
    environment = {
        "PYTHONHOME": f"{PLACE}/python",
        "PYTHONPATH": f"{PLACE}/site:{PLACE}/borrowed",
        "LD_LIBRARY_PATH": f"{PLACE}/python/lib",
    }
    lines = "".join(f"Environment={name}={value}\n" for name, value in environment.items())
    return binds, f"{PLACE}/python/{program}", lines


def _bind(bind: tuple[str, Path]) -> str:
    name, source = bind
    make = f"mkdir -p {PLACE}/{name}" if source.is_dir() else f"mkdir -p {PLACE}; touch {PLACE}/{name}"
    return f"{make}; mount --bind {source} {PLACE}/{name}"


def _can_make_namespaces() -> bool:
    probe = ["unshare", *NAMESPACES, "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/run"]
    return subprocess.run(probe, capture_output=True, timeout=DEADLINE_S, check=False).returncode == 0


def _tree(pid: int) -> list[int]:
    return [pid, *(each for child in children_of(pid) for each in _tree(child))]


def _pid_inside(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1])
