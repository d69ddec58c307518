"""One answer in a terminal: read on a thread of its own, shown by the main one, which also hears Ctrl-C.

The main thread waits for one inbox of events, signals and outcomes. So an interrupt is heard in every phase, and never
in the middle of a line that is being drawn.
"""

from __future__ import annotations

import signal
import threading
import time
from queue import Empty, SimpleQueue
from typing import NamedTuple

from clawgate.client import Answer, ClientError
from clawgate.client.events import Ended, Event
from clawgate.terminal import words
from clawgate.terminal.display import Display
from clawgate.terminal.hearing import Hearing
from clawgate.terminal.signals import Signals

TICK_S = 0.25
MAX_WAITING = 64
"""So many events wait to be shown; then the reading waits, so that a signal has never more than these before it."""
SETTLE_S = 1.5
"""So long the end of an interrupted answer is waited for, from the moment on at which the gateway has confirmed it."""
UNBEGUN_S = 0.3
"""So long the start of an interrupted answer is waited for."""
GIVE_UP_S = 3.0
"""So long an interrupt is waited for in all. The question goes on to be ended behind the prompt."""


class _Interrupted(NamedTuple):
    """The outcome of an interrupt's request: the settled text, or why the gateway could not be told.

    is_known: the answer had begun.
    """

    is_known: bool = False
    partial: str = ""
    error: ClientError | None = None


class _Over(NamedTuple):
    """The reading thread is at its end."""

    error: ClientError | None = None


class Outcome(NamedTuple):
    """What a turn came to.

    text: all of the answer that was shown.
    is_begun: the gateway had taken the question.
    end: the answer's own; None where the connection was given up, or an error stood in the way.
    number: the signal that asks to leave; 0 for none.
    """

    text: str
    session_id: str
    is_begun: bool
    end: Ended | None = None
    error: ClientError | None = None
    number: int = 0

    @property
    def failure(self) -> str:
        """The error that stood in the way, or ended the answer, in words; "" where none did."""
        if self.code == "unauthorized":  # the gateway's own words are for who writes HTTP
            return words.UNAUTHORIZED
        if self.error is not None:
            return str(self.error)
        return self.end.failure.message if self.end is not None and self.end.failure is not None else ""

    @property
    def code(self) -> str:
        """The code of that error."""
        if self.error is not None:
            return self.error.code
        return self.end.failure.code if self.end is not None and self.end.failure is not None else ""


class Turn:
    """Reads one answer and shows it.

    Threads: `show` and `join` are the main one's; the reading one, and one for an interrupt, put into the inbox alone.
    """

    def __init__(self, answer: Answer, display: Display) -> None:
        self._answer = answer
        self._display = display
        self._hearing = Hearing(display)
        self._inbox: SimpleQueue[Event | _Over | _Interrupted | int] = SimpleQueue()
        self._room = threading.Semaphore(MAX_WAITING)
        self._reader = threading.Thread(target=self._read, name="answer", daemon=True)
        self._error: ClientError | None = None
        self._partial = ""
        self._number = 0
        self._is_over = False
        self._give_up_at: float | None = None

    def show(self, signals: Signals) -> Outcome:
        """Show the answer until it ends, or is given up after an interrupt.

        Errors: OSError where nothing can be shown any more; the answer is ended then.
        """
        with signals.going_to(self._inbox.put):
            self._reader.start()
            try:
                while not self._is_over:
                    self._take_all()
                    self._hearing.show_phase()
                    self._display.flush()
                self._hearing.show_end()
            except OSError:
                self._interrupt()
                self._reader.join(GIVE_UP_S)
                raise
        heard = self._hearing
        return Outcome(heard.text, self._answer.session_id, heard.is_begun, heard.end, self._error, self._number)

    def join(self, timeout_s: float) -> None:
        """Wait for an answer that was given up to be ended behind the prompt."""
        self._reader.join(timeout_s)

    def _read(self) -> None:
        try:
            for event in self._answer:
                while not (self._is_over or self._room.acquire(timeout=TICK_S)):
                    pass
                if not self._is_over:
                    self._inbox.put(event)
                elif self._answer.run_id is not None:  # it was given up, and the gateway has been told
                    break
            self._inbox.put(_Over())
        except ClientError as error:
            self._inbox.put(_Over(error))

    def _take_all(self) -> None:
        """Wait for the next thing, no longer than a status may stand still, and take what has come by then."""
        try:
            self._take(self._inbox.get(timeout=TICK_S))
            for _ in range(MAX_WAITING):
                if self._is_over:
                    break
                self._take(self._inbox.get_nowait())
        except Empty:
            pass
        if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
            self._is_over = True
            known = self._hearing.text
            if self._partial.startswith(known):  # the event that was to bring the rest does not come
                self._hearing.say(self._partial[len(known) :])

    def _take(self, item: Event | _Over | _Interrupted | int) -> None:
        if isinstance(item, int):
            self._heed(item)
        elif isinstance(item, _Over):
            self._is_over = True
            self._error = item.error
        elif isinstance(item, _Interrupted):
            self._settle(item)
        else:
            self._room.release()
            self._hearing.hear(item)

    def _heed(self, number: int) -> None:
        """Heed a signal: the first one interrupts, a second one does not wait for that."""
        if number != signal.SIGINT:
            self._number = number
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + GIVE_UP_S
            self._hearing.interrupt()
            self._interrupt()
        else:
            self._is_over = True

    def _interrupt(self) -> None:
        def end() -> None:
            try:
                done = self._answer.interrupt()
                self._inbox.put(_Interrupted() if done is None else _Interrupted(True, done.partial))
            except ClientError as error:
                self._inbox.put(_Interrupted(error=error))

        threading.Thread(target=end, name="interrupt", daemon=True).start()

    def _settle(self, interrupted: _Interrupted) -> None:
        self._partial = interrupted.partial
        if interrupted.error is not None:
            self._error = interrupted.error
            self._answer.close()
            self._is_over = True
        elif self._give_up_at is not None:
            wait_s = SETTLE_S if interrupted.is_known else UNBEGUN_S
            self._give_up_at = min(self._give_up_at, time.monotonic() + wait_s)
