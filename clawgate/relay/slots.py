"""The slots of the answers that may be in flight at once: those of one process, or of all workers of one master.

The roster says which run has a slot; here they are counted. Several workers share one sum, so that a worker serves
beyond its own share as long as others leave room.

- The sum is strict. A slot is one byte of a file without content, and to take it is to lock that byte: the kernel
  grants a record lock to one process at a time. No call waits, neither for a worker that is stopped nor for a busy one.
- A worker that is killed gives its slots back: the kernel drops the locks of a process that ends.
- Each worker writes how many it has into a cell of its own, in memory that all of them see. The master clears the cell
  of a worker that has ended.

Source: man 2 fcntl, "Advisory record locking"; POSIX: a process's record locks end with the process.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
import tempfile
import weakref
from typing import Protocol

_FLOCK = struct.Struct("hhqqi4x")
"""Linux's `struct flock`: type, whence, start, length, pid."""
CELL_BYTES = 8
SEARCHES = 3
"""A slot is looked for so often among all bytes: the one that is free may have moved behind the search."""


class Slots(Protocol):
    """The slots, as the roster knows them.

    Threads: the roster's lock is held around `take` and `give_back`; the counts may be read at any time.
    """

    @property
    def limit(self) -> int:
        """Return how many slots there are."""

    @property
    def taken(self) -> int:
        """Return how many are taken."""

    def take(self, *, is_beyond: bool = False) -> bool:
        """Take a slot; False where none is free. is_beyond: take one even then, since another is about to be freed."""

    def give_back(self, count: int = 1) -> None:
        """Give back some of those that this process has."""


class OwnSlots:
    """The slots of one process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, *, is_beyond: bool = False) -> bool:
        """Take a slot; False where none is free."""
        if self.taken >= self.limit and not is_beyond:
            return False
        self.taken += 1
        return True

    def give_back(self, count: int = 1) -> None:
        """Give some back."""
        self.taken -= count


class SharedSlots:
    """The slots of several workers; made before the fork. Each worker calls `join` after it.

    The counts of the workers are added up before a byte is looked for. So a slot that was taken beyond the limit, which
    has no byte, keeps others from the one that is freed for it.
    """

    def __init__(self, workers: int, per_worker: int) -> None:
        self.limit = workers * per_worker
        self._per_worker = per_worker
        self._cells = memoryview(mmap.mmap(-1, workers * CELL_BYTES)).cast("q")
        self._fd = _nameless_file()
        self._place = 0
        self._held: set[int] = set()
        """The bytes that this process has locked."""
        self._beyond = 0
        self._likely: list[int] = []
        """Bytes to try first: those that this process has freed, and at first those of its share."""
        self.join(0)
        weakref.finalize(self, os.close, self._fd)

    @property
    def taken(self) -> int:
        """Return how many are taken, by all workers."""
        return sum(self._cells)

    def join(self, place: int) -> None:
        """Be the worker at this place, from 0 on; called in its process, which has no slot yet."""
        self._place = place
        share = range(place * self._per_worker, (place + 1) * self._per_worker)
        self._likely = list(reversed(share))

    def clear(self, place: int) -> None:
        """Count the slots of a worker that has ended no more; called by the master. The kernel has freed them."""
        self._cells[place] = 0

    def take(self, *, is_beyond: bool = False) -> bool:
        """Take a slot; False where all workers together have all of them."""
        byte = self._locked() if self.taken < self.limit else None
        if byte is None and not is_beyond:
            return False
        if byte is None:
            self._beyond += 1
        else:
            self._held.add(byte)
        self._tell()
        return True

    def give_back(self, count: int = 1) -> None:
        """Give some back; those beyond the limit first."""
        beyond = min(count, self._beyond)
        self._beyond -= beyond
        for _ in range(count - beyond):
            byte = self._held.pop()
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, byte)
            self._likely.append(byte)
        self._tell()

    def _tell(self) -> None:
        self._cells[self._place] = len(self._held) + self._beyond

    def _locked(self) -> int | None:
        """Lock a byte that nobody has; None where there is none."""
        while self._likely:
            byte = self._likely.pop()
            if self._lock(byte):
                return byte
        for _ in range(SEARCHES):
            byte = 0
            while byte < self.limit:
                if byte not in self._held and self._lock(byte):
                    return byte
                byte = self._behind(byte)
        return None

    def _lock(self, byte: int) -> bool:
        """Lock a byte that this process does not have; False where another has it, or the kernel has no lock left."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def _behind(self, byte: int) -> int:
        """Return the byte behind the other worker's locked ones that begin here, or the next one."""
        if byte in self._held or sys.platform != "linux":
            return byte + 1
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        kind, _, start, count, _ = _FLOCK.unpack(fcntl.fcntl(self._fd, fcntl.F_GETLK, asked))
        return byte + 1 if kind == fcntl.F_UNLCK else int(start + count)


def _nameless_file() -> int:
    """Open a file that is nobody else's: in memory, where the system has that."""
    try:
        return os.memfd_create("clawgate-slots")
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
