"""When DingTalk may be called: its limits a second, the updates of a card, and the rest after a refusal.

Pure but for its locks: each function is told the time, or asks the clock that it was given.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

CALLS_PER_S = 20
"""The limit of an application and API. Source: DingTalk, "调用频率限制"."""
INTERVALS_S = (1.0, 2.0, 4.0)
"""The time before each update of a card; the last one goes on."""
COOLDOWN_S = 1800.0
SHANGHAI = timezone(timedelta(hours=8))
"""The zone in which DingTalk's months begin; it has had no summer time since 1991."""


class Rate:
    """At most so many calls in each second, of all threads together.

    Threads: any.
    """

    def __init__(self, most: int = CALLS_PER_S, window_s: float = 1.0) -> None:
        self._window_s = window_s
        self._lock = threading.Lock()  # guards the times
        self._taken: deque[float] = deque(maxlen=most)

    def wait_s(self, now: float) -> float:
        """Take the next place for a call; return the seconds until then."""
        with self._lock:
            is_full = len(self._taken) == self._taken.maxlen
            at = max(now, self._taken[0] + self._window_s) if is_full else now
            self._taken.append(at)
        return at - now


class Cooldown:
    """The time without cards after a refusal, for all answers of the bot.

    clock: seconds since the epoch.
    Threads: any.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the end
        self._ends_at = 0.0

    def begin(self, *, is_used_up: bool) -> float:
        """Rest for half an hour, or to the end of the month where its calls are used up; return the seconds."""
        now = self._clock()
        ends_at = _next_month(now) if is_used_up else now + COOLDOWN_S
        with self._lock:
            self._ends_at = max(self._ends_at, ends_at)
            return self._ends_at - now

    @property
    def is_over(self) -> bool:
        """True where cards may be made."""
        return self._clock() >= self._ends_at


class Updates:
    """The updates of one card: growing intervals, and a bound that leaves one for the end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._next_at = 0.0

    def due_s(self, now: float) -> float | None:
        """Return the seconds until the next one; None where only the last one is left."""
        return None if self._count >= self._most - 1 else max(0.0, self._next_at - now)

    def begin(self, now: float) -> None:
        """Note that the card is there."""
        self._next_at = now + INTERVALS_S[0]

    def count(self, now: float) -> None:
        """Note an update that was sent, whether it came to something or not."""
        self._count += 1
        self._next_at = now + INTERVALS_S[min(self._count, len(INTERVALS_S) - 1)]


def _next_month(now: float) -> float:
    date = datetime.fromtimestamp(now, SHANGHAI)
    first = date.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1).timestamp()
