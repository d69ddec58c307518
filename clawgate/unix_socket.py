"""Listens on a Unix socket's path, or says in one line why it cannot; `serve` and gunicorn_conf.py do.

A socket that nobody listens on any more (its process was killed) is replaced; one that somebody listens on, or anything
else that stands at the path, is left alone. The socket is open to every local user, as a port on loopback is: the
folder's mode decides who reaches it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clawgate import ports

UMASK = 0o111
"""Read and write for everybody: a proxy that runs as another user has to connect."""
MAX_ALONE_S = 2.0
LOOK_EVERY_S = 0.01
_ACCEPTS = 0x10000
_TABLE = Path("/proc/net/unix")
_CURES = {
    errno.ENOENT: "make its folder {folder} (in a systemd unit RuntimeDirectory= does)",
    errno.ENOTDIR: "a part of {folder} is no folder",
    errno.EACCES: "this user may not write into {folder}; choose another, or give it to this user",
    errno.EPERM: "this user may not write into {folder}; choose another, or give it to this user",
    errno.EROFS: "choose a folder that can be written to, such as one below /run",
}


def listen(path: str) -> socket.socket:
    """Listen on a path.

    Errors: PortTaken, with the cure.
    """
    try:
        with _alone_in(os.path.dirname(path)):
            _make_room(path)
            return _bound(path)
    except OSError as error:
        cure = _CURES.get(error.errno or 0, "")
        words = f"{error.strerror or error}{': ' if cure else ''}{cure.format(folder=os.path.dirname(path))}"
        raise ports.PortTaken(f"cannot listen on unix:{path}: {words}") from error


def identity_of(path: str) -> tuple[int, int] | None:
    """Return what tells the file at a path from one that takes its place; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, identity: tuple[int, int] | None) -> None:
    """Remove the socket's file at the end, unless another has taken its place, or nobody lets us."""
    if identity is not None and identity_of(path) == identity:
        try:
            os.unlink(path)
        except OSError:
            pass  # the next start replaces it


@contextmanager
def _alone_in(folder: str) -> Iterator[None]:
    """Keep other gateways from looking at this folder meanwhile: two that start at once would replace one another.

    A gateway is done in a millisecond. Others lock folders for longer (systemd-tmpfiles; whoever keeps a folder from
    it), and need no right for that but to read: they are not waited for.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # it may be written to all the same
        yield
        return
    try:
        ends_at = time.monotonic() + MAX_ALONE_S
        while not _is_locked(fd) and time.monotonic() < ends_at:
            time.sleep(LOOK_EVERY_S)
        yield
    finally:
        os.close(fd)


def _is_locked(fd: int) -> bool:
    """Lock a folder for this process; False where another has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _make_room(path: str) -> None:
    """Remove a socket that nobody listens on.

    Errors: PortTaken for anything else that stands there.
    """
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ports.PortTaken(
            f"cannot listen on unix:{path}: a file stands there that is no socket: remove it, or choose another path"
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass  # a full queue, another kind of socket, or another user's: somebody has it
    raise ports.PortTaken(f"cannot listen on unix:{path}: another process does{_holder_of(path)}")


def _holder_of(path: str) -> str:
    try:
        inodes = set(_listening_on(path, _TABLE.read_text(encoding="utf-8", errors="surrogateescape")))
    except OSError:  # another system
        inodes = set()
    held = ports.held_by(inodes)
    return f"; it is held by {held}, or choose another path" if held else ": end it, or choose another path"


def _listening_on(path: str, table: str) -> Iterator[int]:
    """Yield the inodes of the sockets that listen on a path. Source: man 7 unix."""
    for line in table.splitlines()[1:]:
        _, _, _, flags, _, _, inode, *name = line.split(maxsplit=7)
        if name == [path] and int(flags, 16) & _ACCEPTS:
            yield int(inode)


def _bound(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    before = os.umask(UMASK)
    try:
        sock.bind(path)
        sock.listen(ports.BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock
