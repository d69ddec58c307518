"""The time that a text may keep the processor, checked between a renderer's steps and never inside one.

A budget is made and checked by the thread that works. It counts that thread's CPU time alone, so a loaded machine takes
nothing from it.
"""

from __future__ import annotations

import time

RUN_S = 0.001
REST_S = 0.0005
"""The thread sleeps for a moment after so much CPU. One that never sleeps gives the interpreter up only when another
has waited 5 ms for it, at each of that one's system calls: with two such threads an interrupt took up to 180 ms beside
100 streams, with these rests 34 ms."""


class OutOfTime(Exception):
    """The budget is spent."""


class Budget:
    """CPU seconds of the current thread, from now on."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.thread_time() + seconds
        self._rests_at = 0.0

    def check(self, kept_s: float = 0.0) -> None:
        """Let the other threads run for a moment where it is their turn.

        Errors: OutOfTime where no more than `kept_s` is left.
        """
        now = time.thread_time()
        if now >= self._ends_at - kept_s:
            raise OutOfTime
        if now >= self._rests_at:
            if self._rests_at:
                time.sleep(REST_S)
            self._rests_at = now + RUN_S
