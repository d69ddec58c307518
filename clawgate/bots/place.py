"""The order of the messages of one conversation: each goes to the gateway once the one before it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable

BEGIN_S = 5.0
"""So long an order waits for the one before it to begin; then it ends that one, and waits once more."""


class Place:
    """A place in the row of a conversation.

    before: the place in front, None where nothing is; give_up: ends the order that stands there.

    Threads: `wait` belongs to the order's own thread; the others may be called from any.
    """

    def __init__(self, before: Place | None, give_up: Callable[[], object] | None = None) -> None:
        self._before = before
        self._give_up = give_up
        self._is_reached = threading.Event()
        self._is_passed = threading.Event()

    def wait(self) -> None:
        """Wait until it is this order's turn. It is for a bounded time: each place in front waits so, too."""
        before, give_up = self._before, self._give_up
        if before is not None:
            before._is_reached.wait()
            if not before._is_passed.wait(BEGIN_S):
                if give_up is not None:
                    give_up()
                before._is_passed.wait(BEGIN_S)
        self._before = self._give_up = None  # so that no long row of orders that are over is kept
        self._is_reached.set()

    def give_way(self) -> None:
        """Let the next one come: the gateway has this order, or it is over."""
        self._is_reached.set()
        self._is_passed.set()
