"""Numbers that are added up, by one process or by all workers of a master, for metrics.py.

Each worker adds in a row of its own, in memory that all of them see, and whoever is scraped adds the rows up. A worker
that takes the place of one that has ended adds on in its row. So no count ever goes back, none waits for another
worker, and there is no file. A process that is alone has a list.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from typing import Union

NUMBER_BYTES = 8
DIGEST_BYTES = 16


def shared_rows(rows: int, width: int) -> list[memoryview[float]]:
    """Make rows of numbers that are 0, in memory that is shared with the processes that are forked from here on."""
    whole = memoryview(mmap.mmap(-1, rows * width * NUMBER_BYTES)).cast("d")
    return [whole[row * width : (row + 1) * width] for row in range(rows)]


Row = Union[list[float], "memoryview[float]"]  # Python 3.11 has no generic memoryview


class Board:
    """The rows. All numbers are reserved first, then it is built, and then the workers are forked.

    Threads: `lock` guards this process's row, for one addition.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.row: Row = []
        self._rows: Sequence[Row] = ()
        self._width = 0

    def reserve(self, count: int) -> int:
        """Reserve so many numbers, and return where the first is."""
        first = self._width
        self._width += count
        return first

    def build(self, workers: int) -> None:
        """Make a row for each worker."""
        self._rows = [[0.0] * self._width] if workers == 1 else shared_rows(workers, self._width)
        self.join(0)

    def join(self, place: int) -> None:
        """Add in this row from now on."""
        self.row = self._rows[place]

    def sums(self) -> list[float]:
        """Return the sum of all workers for each number."""
        if len(self._rows) == 1:
            return list(self._rows[0])
        return [sum(column) for column in zip(*self._rows, strict=True)]


class Names:
    """A number for each name, the same one in every worker: the first process to name it gives it.

    is_open: new names get numbers here. It is so in the process that forks, and in one that is alone; in a worker only
    names that have a number by then are known. So there is one writer.
    """

    def __init__(self, limit: int) -> None:
        self.is_open = True
        self._limit = limit
        self._digests = mmap.mmap(-1, limit * DIGEST_BYTES)

    def number_of(self, name: str) -> int | None:
        """Return a name's number; None where it has none, and gets none."""
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
        for number in range(self._limit):
            at = slice(number * DIGEST_BYTES, (number + 1) * DIGEST_BYTES)
            if self._digests[at] == digest:
                return number
            if self.is_open and not any(self._digests[at]):
                self._digests[at] = digest
                return number
        return None


class Tally:
    """One number that only rises."""

    __slots__ = ("_board", "at")

    def __init__(self, board: Board, at: int) -> None:
        self._board = board
        self.at = at

    def inc(self, amount: float = 1) -> None:
        """Add to it."""
        board = self._board
        with board.lock:
            board.row[self.at] += amount


class Times:
    """Durations by their size: a number for each bucket, one for those above all bounds, and one for the sum.

    bounds: the greatest duration of each bucket, in seconds, ascending.
    """

    __slots__ = ("_board", "at", "bounds")

    def __init__(self, board: Board, at: int, bounds: Sequence[float]) -> None:
        self._board = board
        self.at = at
        self.bounds = bounds

    @staticmethod
    def size(bounds: Sequence[float]) -> int:
        """Return how many numbers it takes."""
        return len(bounds) + 2

    def observe(self, seconds: float) -> None:
        """Add a duration."""
        board, bounds = self._board, self.bounds
        bucket = self.at + bisect_left(bounds, seconds)
        with board.lock:
            board.row[bucket] += 1
            board.row[self.at + len(bounds) + 1] += seconds
