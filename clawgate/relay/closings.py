"""The closes that have to wait: connections to Ollama that may not be cut yet, counted until they are.

Ollama leaks a connection that is cut before it has handed out a runner (exchange.py). So a run leaves the close of such
a connection here, and nothing waits for it but the next question of its session and the end of the process.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from clawgate.ollama.exchange import Exchange

MOST = 64
"""While so many closes wait, no question is asked: answers in flight and closes together bound the connections."""
log = logging.getLogger(__name__)


class Closings:
    """Cuts each connection when it may be cut, on one thread, which lives while there is something to wait for.

    The thread is no daemon, so the process waits for it before it ends: half a second at most (observations.py).

    Threads: any. `_lock` guards the closes that wait, and is held for memory only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_sooner = threading.Condition(self._lock)
        self._waiting: dict[Exchange, tuple[float, str]] = {}  # when it may be cut, and whose it is
        self._then: dict[Exchange, Callable[[float], None]] = {}  # called when it is cut
        self._wakes_at = -math.inf
        self._has_thread = False

    @property
    def count(self) -> int:
        """Return how many closes wait."""
        return len(self._waiting)

    def close(self, session_id: str, exchange: Exchange) -> None:
        """Close a session's exchange, now or once that may be; again is harmless."""
        self._await(session_id, exchange, exchange.close())

    def release(self, session_id: str, exchange: Exchange) -> None:
        """Close a session's exchange, and give its fd back with that."""
        self._await(session_id, exchange, exchange.release())

    def when_cut(self, exchange: Exchange, then: Callable[[float], None]) -> None:
        """Call a function with the moment at which an exchange was cut: at once, or where that has to wait, then.

        An exchange that nobody has closed is forgotten. The function returns at once.

        Units: on the monotonic clock.
        """
        with self._lock:
            if exchange in self._waiting:
                self._then[exchange] = then
                return
        if exchange.cut_at is not None:
            then(exchange.cut_at)

    def clear_at(self, session_id: str) -> float | None:
        """Return the moment from which a session may open a connection; None where that is now.

        A session has one connection at a time. Call again at that moment: the close is done then, if not before.

        Units: on the monotonic clock.
        """
        if not self._waiting:
            return None
        self._cut_due()
        with self._lock:
            its = [at for at, whose in self._waiting.values() if whose == session_id]
            if its:
                return max(its)
            return min(at for at, _ in self._waiting.values()) if self.count >= MOST else None

    def _await(self, session_id: str, exchange: Exchange, at: float | None) -> None:
        """Cut the connection at this moment; None where that is done."""
        if at is None:
            return
        with self._lock:
            self._waiting[exchange] = at, session_id
            needs_thread, self._has_thread = not self._has_thread, True
            if at < self._wakes_at:
                self._is_sooner.notify()
        if needs_thread:
            try:
                threading.Thread(target=self._run, name="close-upstream", daemon=False).start()
            except RuntimeError:  # the system gives no further thread
                self._run()

    def _run(self) -> None:
        while True:
            self._cut_due()
            with self._lock:
                if not self._waiting:
                    self._has_thread = False
                    return
                self._wakes_at = min(at for at, _ in self._waiting.values())
                self._is_sooner.wait(max(self._wakes_at - time.monotonic(), 0.0))
                self._wakes_at = -math.inf

    def _cut_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [(exchange, whose) for exchange, (at, whose) in self._waiting.items() if at <= now]
        for exchange, whose in due:
            try:
                at = exchange.close()  # a moment again where its last byte has just left
            except Exception:  # the thread must live on: other closes wait
                log.exception("closing a connection to Ollama failed")
                at = None
            if at is None:
                with self._lock:
                    self._waiting.pop(exchange, None)
                    then = self._then.pop(exchange, None)
                if then is not None and exchange.cut_at is not None:
                    then(exchange.cut_at)
            self._await(whose, exchange, at)
