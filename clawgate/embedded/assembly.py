"""Weights that come in parts: put together once, in the user's cache, and used only where every byte is right.

weights.py calls it. The sum is checked at each start, because a file that anything could have changed since is no file
to run. That takes 0.4 s for 491 MB, or 1.1 s on a processor without SHA instructions, and brings the file into memory,
where the engine wants it next.

Nothing but a regular file of this user's, or for reading root's, is opened in the cache: a link would be written
through, and a FIFO would be waited for.

A build writes under another name, behind a lock, and is renamed once its sum is right: a reader finds the whole file or
none, whatever kills the build. The next build writes over what a killed one has left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path

from clawgate.embedded.models import Part, Whole

_CHUNK_BYTES = 1 << 20
_IN_ITS_PLACE = {errno.ELOOP, errno.EMLINK, errno.ENXIO}
"""The kernel's answers for a link, on Linux and elsewhere, and for a FIFO that nobody reads."""
_CURE = "set XDG_CACHE_HOME to a folder that may be written"


class NoRoom(Exception):
    """The cache cannot take the file; the message says why, and what to set."""


class Altered(Exception):
    """A part's bytes are not those that its sum stands for."""

    def __init__(self, part: Part) -> None:
        super().__init__(part.requirement)
        self.part = part


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where this user's weights lie: `$XDG_CACHE_HOME/clawgate`, or `~/.cache/clawgate`.

    Errors: NoRoom where there is no home.
    Source: the XDG Base Directory Specification; a relative path in the variable does not count.
    """
    given = environment.get("XDG_CACHE_HOME", "")
    if given.startswith("/"):
        return Path(given, "clawgate")
    try:
        return Path.home() / ".cache" / "clawgate"
    except RuntimeError as error:
        raise NoRoom(f"there is no home directory for the model's file; {_CURE}") from error


def is_exact(path: Path, whole: Whole) -> bool:
    """Say whether a file is there, and is the right one. Errors: NoRoom where something else is in its place."""
    try:
        with FileIO(_opened(path, os.O_RDONLY)) as file:
            if os.fstat(file.fileno()).st_size != whole.size_bytes:
                return False
            total = hashlib.sha256()
            for chunk in _chunks(file):
                total.update(chunk)
    except OSError:
        return False
    return total.hexdigest() == whole.sha256


def assemble(folder: Path, whole: Whole, parts: Sequence[tuple[Part, Path]]) -> Path:
    """Make the whole file in that folder out of its parts, unless another process just has; return its path.

    Errors: Altered; NoRoom where the folder cannot be made or written, or is full.
    """
    path = folder / whole.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{whole.file_name}.lock"):
            if not is_exact(path, whole):
                _build(path, whole, parts)
    except OSError as error:
        raise NoRoom(_words(error, folder, whole)) from error
    return path


def _build(path: Path, whole: Whole, parts: Sequence[tuple[Part, Path]]) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    total = hashlib.sha256()
    opened = _opened(unfinished, os.O_WRONLY | os.O_CREAT)
    try:
        with open(opened, "wb") as file:
            file.truncate()  # what a killed build has left
            for part, source in parts:
                own = hashlib.sha256()
                for chunk in _chunks_of(part, source):
                    own.update(chunk)
                    total.update(chunk)
                    file.write(chunk)
                if own.hexdigest() != part.sha256:
                    raise Altered(part)
            file.flush()
            os.fsync(file.fileno())
        if total.hexdigest() != whole.sha256:
            raise Altered(parts[-1][0])
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def _chunks_of(part: Part, source: Path) -> Iterator[memoryview]:
    """Yield a part's bytes. Errors: Altered where they cannot be read."""
    try:
        with source.open("rb", buffering=0) as file:
            yield from _chunks(file)
    except OSError as error:
        raise Altered(part) from error


def _chunks(file: FileIO) -> Iterator[memoryview]:
    """Yield a file's bytes; each chunk is gone when the next one comes."""
    room = memoryview(bytearray(_CHUNK_BYTES))
    while size := file.readinto(room):
        yield room[:size]


def _opened(path: Path, flags: int, mode: int = 0o666) -> int:
    """Open a file in the cache. Errors: NoRoom where it is no regular file, or another user's; OSError."""
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _IN_ITS_PLACE:
            raise _taken(path) from error
        raise
    about = os.fstat(fd)
    owners = {os.geteuid()} if flags & os.O_ACCMODE else {os.geteuid(), 0}
    if not stat.S_ISREG(about.st_mode) or about.st_uid not in owners or (flags & os.O_ACCMODE and about.st_nlink > 1):
        os.close(fd)
        raise _taken(path)
    return fd


def _taken(path: Path) -> NoRoom:
    return NoRoom(f"{path}: a link, a pipe or another user's file is in this place; remove it, or {_CURE}")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process; a second process waits for it."""
    with FileIO(_opened(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _words(error: OSError, folder: Path, whole: Whole) -> str:
    where = error.filename or folder
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        needed = f"the model's file takes {whole.size_bytes / 1e6:.0f} MB"
        return f"{where}: {error.strerror}; {needed}: make room, or set XDG_CACHE_HOME to a folder elsewhere"
    return f"{where}: {error.strerror or error}; {_CURE}"
