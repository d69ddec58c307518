"""Listens on a port, or explains which process holds it: cli.py does both, the second for the embedded model too.

Linux lists the sockets that listen (/proc/net/tcp) and the user's processes that hold them; on other systems no process
is named.
Source: Linux Documentation/networking/proc_net_tcp.rst; man 5 proc.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import pwd
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clawgate.telemetry.logs import printable

BACKLOG = 2048
"""gunicorn's own."""
_LISTENS = "0A"
_MAX_NAME = 40
_WRAPPER = "clawgate.lifeline"
"""`clawgate up` starts its processes with it: the name of the module that runs follows it."""
_ONEFILE = "pex"
"""The script that the one file for Python runs as; the variable PEX has the file's own path."""
_INTERPRETER = re.compile(r"(python|node|ruby|perl)[\d.]*$")
_PROC = Path("/proc")


class PortTaken(Exception):
    """The port cannot be bound; the message says why, and names the process that holds it where it is known."""


class Listener(NamedTuple):
    """A line of /proc/net/tcp or tcp6."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    uid: int
    inode: int


def listen(host: str, port: int) -> socket.socket:
    """Listen as gunicorn would; gunicorn itself reports a taken port five times in five seconds.

    To bind is not enough: of two processes that bind a port at once, one cannot listen.
    Errors: PortTaken.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTaken(
            f"cannot listen on {host} port {port}: {error.strerror}{explained(error, host, port)}"
        ) from error
    return sock


def explained(error: OSError, host: str, port: int) -> str:
    """Give the end of the message for a port that could not be bound: the process that holds it, and what to do."""
    if error.errno != errno.EADDRINUSE:
        return ""
    found = [each for each in _listeners() if each.port == port and _is_in_the_way(each.address, host)]
    held = held_by({each.inode for each in found})
    if held:
        return f"; it is held by {held}, or choose another with --port"
    if found:
        return f"; it is held by a process of {_user(found[0].uid)}: choose another with --port"
    return ""


def held_by(inodes: set[int]) -> str:
    """Name the process that has one of these sockets open, and how to stop it; "" where it cannot be seen."""
    pid = eldest({pid: _parent_of(pid) for pid in _holders(inodes)})
    return "" if pid is None else f"{_name_of(pid)} (pid {pid}): stop it with `kill {pid}`"


def listeners(table: str) -> Iterator[Listener]:
    """Read the listening sockets in one of the kernel's tables."""
    for line in table.splitlines()[1:]:
        _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
        if state == _LISTENS:
            address, port = local.split(":")
            yield Listener(_address_of(address), int(port, 16), int(uid), int(inode))


def eldest(parents: dict[int, int]) -> int | None:
    """Choose, of processes that share a socket (pid → parent's), the one that ends the others with it; never init."""
    parents = {pid: parent for pid, parent in parents.items() if pid != 1}
    return min((pid for pid, parent in parents.items() if parent not in parents), default=None)


def called(command: str, arguments: Sequence[str]) -> str:
    """Give the name that people know a process by: for an interpreter, that of its script or module."""
    name = command
    if _INTERPRETER.match(command) and not {"-c", "-e"} & set(arguments[1:2]):
        words = (os.path.basename(word) for word in arguments[1:] if not word.startswith("-") and word != _WRAPPER)
        name = next(words, "") or command
    return printable(name[:_MAX_NAME])


def _address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read words of 32 bits, each in the machine's byte order."""
    words = (bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8))
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def _is_in_the_way(theirs: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> bool:
    """Tell whether a socket on an address conflicts with a host: both are the same, or one is every address."""
    try:
        ours = ipaddress.ip_address(host)
    except ValueError:  # a name that this machine resolves to an address of its own
        return True
    return theirs == ours or theirs.is_unspecified or ours.is_unspecified


def _listeners() -> Iterator[Listener]:
    for name in ("tcp", "tcp6"):
        try:
            yield from listeners((_PROC / "net" / name).read_text())
        except OSError:  # another system, or no IPv6
            pass


def _holders(inodes: set[int]) -> Iterator[int]:
    """Yield the processes that have one of these sockets open, as far as this user may see them."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in _PROC.glob("[0-9]*/fd") if wanted else ():
        try:
            if any(_target(fd) in wanted for fd in folder.iterdir()):
                yield int(folder.parent.name)
        except OSError:  # another user's, or it has just ended
            pass


def _target(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except FileNotFoundError:  # it has been closed
        return ""


def _parent_of(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _name_of(pid: int) -> str:
    try:
        arguments = os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes()).rstrip("\0").split("\0")
        name = called(os.fsdecode((_PROC / str(pid) / "comm").read_bytes()).rstrip("\n"), arguments)
        return _onefile_of(pid) or name if name == _ONEFILE else name
    except OSError:
        return "a process"


def _onefile_of(pid: int) -> str:
    variables = os.fsdecode((_PROC / str(pid) / "environ").read_bytes()).split("\0")
    path = next((each.partition("=")[2] for each in variables if each.startswith("PEX=")), "")
    return printable(os.path.basename(path)[:_MAX_NAME])


def _user(uid: int) -> str:
    try:
        return f"the user {printable(pwd.getpwuid(uid).pw_name)}"
    except KeyError:
        return f"the user with the id {uid}"
