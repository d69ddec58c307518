"""The load of each worker of one master, in memory that all of them see: a new connection is the least loaded one's.

All workers listen on the same sockets, so that a connection never waits for one that hangs, as it would with a socket
each (SO_REUSEPORT). Left alone, whichever wakes first would take most connections. So a worker with more to do than
another leaves a new connection to that one for a moment, and takes it where it is still there then.
"""

from __future__ import annotations

import mmap
import time

LEAVING = 1 << 40
"""The load of a worker that takes no new connections: one that ends its answers, or has no room."""
STALE_S = 3.0
"""A worker that has told nothing for so long hangs. Its main loop turns once a second at least."""
_CELL_BYTES = 8
_ENDED = -1


class Crew:
    """The loads, and when each was told; made before the fork. Each worker calls `join` after it, and `tell` often.

    Threads: a worker's main loop, and the master's.
    Units: a load is the number of connections that a worker has beside the silent kept ones.
    """

    def __init__(self, workers: int) -> None:
        self._loads = memoryview(mmap.mmap(-1, workers * _CELL_BYTES)).cast("q")
        self._told_at = memoryview(mmap.mmap(-1, workers * _CELL_BYTES)).cast("d")
        self._place = 0
        for place in range(workers):
            self.clear(place)

    def join(self, place: int) -> None:
        """Be the worker at this place, from 0 on; called in its process."""
        self._place = place

    def clear(self, place: int) -> None:
        """Forget a worker that has ended."""
        self._loads[place] = _ENDED

    def tell(self, load: int) -> None:
        """Tell the others this worker's load."""
        self._told_at[self._place] = time.monotonic()
        self._loads[self._place] = load

    def is_outdone(self) -> bool:
        """Tell whether another worker, which does not hang, has less to do than this one."""
        own, fresh_from = self._loads[self._place], time.monotonic() - STALE_S
        loads = zip(self._loads, self._told_at, strict=True)
        return any(_ENDED < load < own and told_at > fresh_from for load, told_at in loads)
