"""The names that were seen lately: messages that the messenger delivers again, people who were refused already."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

HOUR_S = 3600.0
MOST = 10_000


class Seen:
    """Remembers names for a while; where there are too many, the oldest go first.

    Names are kept as digests, so that long ones take no more memory.

    Threads: any; the lock guards the names.
    """

    def __init__(self, kept_s: float = HOUR_S, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_s = kept_s
        self._most = most
        self._clock = clock
        self._names: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._names)

    def is_new(self, *name: str) -> bool:
        """Tell whether a name was not seen lately, and note it. One that is seen again is kept no longer for that."""
        parts = "\0".join(f"{len(part)}:{part}" for part in name)
        digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            now = self._clock()
            while self._names and next(iter(self._names.values())) <= now - self._kept_s:
                self._names.popitem(last=False)
            if digest in self._names:
                return False
            self._names[digest] = now
            if len(self._names) > self._most:
                self._names.popitem(last=False)
            return True
