"""The cost of a process tree, read from /proc: CPU and memory of a program and of everything it started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """A process tree at one moment.

    Units: cpu_s is user and system time since the start, ended children included; rss_kb counts pages that two
    processes share twice, pss_kb once.
    """

    cpu_s: float = 0.0
    rss_kb: int = 0
    pss_kb: int = 0
    threads: int = 0


def tree(pid: int) -> list[int]:
    """List a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def usage(pid: int) -> Usage:
    """Read what the tree under a process has used. A process that ends meanwhile counts nothing."""
    ticks = rss_kb = pss_kb = threads = 0
    for member in tree(pid):
        if fields := _stat(member):
            ticks += sum(int(field) for field in fields[11:15])
            threads += int(fields[17])
            memory = _memory(member)
            rss_kb += memory.get("Rss", 0)
            pss_kb += memory.get("Pss", 0)
    return Usage(ticks * _TICK_S, rss_kb, pss_kb, threads)


def machine_cpu_s() -> float:
    """Return the CPU time that the whole machine has spent working, on all cores, since it was started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    return sum(int(ticks) for ticks in (user, nice, system, irq, softirq, steal)) * _TICK_S


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (the name before it may hold anything)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return []


def _memory(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # of another user, as nginx's worker is when its master is root's and we are not
        return {"Rss": _resident_kb(pid)}
    return {name.rstrip(":"): int(size) for name, size, *_ in (line.split() for line in lines)}


def _resident_kb(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
    except OSError:
        return 0
