"""SIGTERM and Ctrl-C for a gunicorn worker: every running answer gets its proper end before gunicorn's own comes.

gunicorn by itself cuts streams at its graceful time-out without a final chunk, and accepts nothing once it has the
signal. So our handler comes first: new chats get 503, running answers go on for the grace time, what is left ends as
`interrupted` with its text settled; only then gunicorn gets its signal.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from clawgate.relay.desk import Desk


class Drain:
    """Stands between the signals and gunicorn's handlers of them.

    Threads: a signal handler may take no lock and log nothing, since it interrupts the main thread anywhere; it writes
    one byte to a pipe, and a thread that reads the pipe does the work.
    """

    def __init__(self, desk: Desk, grace_s: float) -> None:
        self._desk = desk
        self._grace_s = {signal.SIGTERM: grace_s, signal.SIGINT: 0.0, signal.SIGQUIT: 0.0}
        self._handlers: dict[int, Any] = {}
        self._is_over = False
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def install(self) -> None:
        """Take the signals over; call in the worker's main thread."""
        for number in self._grace_s:
            self._handlers[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch, name="drain", daemon=True).start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_over:
            self._handlers[number](number, frame)
        else:
            os.write(self._write_fd, bytes([number]))

    def _watch(self) -> None:
        while data := os.read(self._read_fd, 1):
            number = signal.Signals(data[0])
            # a thread each, so that a Ctrl-C cuts the patience of a SIGTERM short
            threading.Thread(target=self._drain, args=(number,), name=f"drain-{number.name}", daemon=True).start()

    def _drain(self, number: signal.Signals) -> None:
        self._desk.drain(self._grace_s[number])
        self._is_over = True
        os.kill(os.getpid(), number)
