"""The order of the messages of one conversation: each goes to the gateway once the one before it is there.

The chat gets their answers in the same order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

BEGIN_S = 5.0
"""So long an order waits for the one before it to begin; then it ends that one, and waits once more."""
ORDER_S = 20.0
"""So long the chat is to get what stands in front first; a messenger that hangs holds what comes behind no longer."""


class Place:
    """A place in the row of a conversation.

    before: the place in front, None where nothing is; give_up: ends the order that stands there.

    Threads: `wait` and `wait_delivered` belong to the order's own threads; the others may be called from any.
    """

    def __init__(self, before: Place | None, give_up: Callable[[], object] | None = None) -> None:
        self._before = before
        self._give_up = give_up
        self._is_reached = threading.Event()
        self._is_passed = threading.Event()
        self._is_delivered = threading.Event()
        self._delivered_before = None if before is None else before._is_delivered

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

    def wait_delivered(self) -> None:
        """Wait until the chat has what stands in front, for a bounded time."""
        if self._delivered_before is not None:
            self._delivered_before.wait(ORDER_S)

    def note_delivered(self) -> None:
        """Let the chat have what stands behind: it has all of this one."""
        self._is_delivered.set()
