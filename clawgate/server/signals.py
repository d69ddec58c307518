"""Signals for a gunicorn worker: SIGTERM and Ctrl-C end every answer properly, SIGHUP reloads without ending any.

A worker that has gunicorn's signal accepts nothing, and cuts streams at the graceful time-out without a final chunk. So
our handler comes first: new chats get 503, running answers go on for the grace time, and those that still run then end
as `interrupted` with their text settled. Only then the worker gets its signal.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


class Signals:
    """Stands between the signals and gunicorn's handlers of them.

    Shape: `drain` gets True for the patient end (SIGTERM) and False for the quick one (SIGINT, SIGQUIT), and returns
    when the worker may end. `let_go` runs from then on, on a daemon thread, so that no client delays that. `reload` is
    called for SIGHUP.
    Threads: a signal handler may take no lock and log nothing, since it interrupts the main thread anywhere; it writes
    one byte to a pipe, and a thread that reads the pipe does the work.
    """

    def __init__(self, drain: Callable[[bool], None], let_go: Callable[[], None], reload: Callable[[], None]) -> None:
        self._drain = drain
        self._let_go = let_go
        self._reload = reload
        self._handlers: dict[int, Any] = {}
        self._is_over = False
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def install(self) -> None:
        """Take the signals over; call in the worker's main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_over and number != signal.SIGHUP:
            self._handlers[number](number, frame)
        else:
            os.write(self._write_fd, bytes([number]))

    def _watch(self) -> None:
        while data := os.read(self._read_fd, 1):
            number = signal.Signals(data[0])
            if number == signal.SIGHUP:
                self._reload_safely()
            else:  # a thread each, so that a Ctrl-C cuts the patience of a SIGTERM short
                threading.Thread(target=self._end, args=(number,), name=f"drain-{number.name}", daemon=True).start()

    def _reload_safely(self) -> None:
        try:
            self._reload()
        except Exception:  # the thread must live on: SIGTERM comes the same way
            log.exception("the reload failed")

    def _end(self, number: signal.Signals) -> None:
        self._drain(number == signal.SIGTERM)
        self._is_over = True
        os.kill(os.getpid(), number)
        self._let_go()
