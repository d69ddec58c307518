"""A process as /proc shows it: its children, and what it holds. Linux only; see `tools.require_procfs`."""

from __future__ import annotations

import os
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the pids whose parent this is, oldest first."""
    return sorted(child for child, parent in _parents() if parent == pid)


def resources_of(pid: int) -> dict[str, int]:
    """Return what a process holds: `threads`, `fds`, `sockets`, `rss_bytes`.

    Errors: ProcessLookupError when it has ended.
    """
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        targets = [_target(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return {
        "threads": int(fields["Threads"]),
        "fds": len(targets),
        "sockets": sum(target.startswith("socket:") for target in targets),
        "rss_bytes": int(fields.get("VmRSS", "0 kB").split()[0]) * 1024,
    }


def forget_peak(pid: int) -> None:
    """Have the kernel count a process's largest resident size anew. Source: proc_pid_clear_refs(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak_bytes_of(pid: int) -> int:
    """Return the largest resident size since the start, or since it was forgotten."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def is_of_a_binary(pid: int) -> bool:
    """Tell whether PyInstaller's first process has started this one, and said so in its environment."""
    try:
        return b"_PYI_APPLICATION_HOME_DIR=" in Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return False


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be reaped (an orphan, by init) does not."""
    return any(known == pid for known, _ in _parents())


def _parents() -> list[tuple[int, int]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]  # the name before it may hold spaces
            if state != "Z":
                found.append((int(entry.name), int(parent)))
    return found


def _target(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except FileNotFoundError:  # closed meanwhile
        return ""
