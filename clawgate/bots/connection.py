"""One connection to a messenger, kept for years: opened, watched, and made anew with back-off and jitter.

A messenger's package gives it a `Wire`; what it hears is handed over on the one thread that runs `keep`, so that a wire
must not wait there.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from clawgate.bots.failures import Denied, Disconnected
from clawgate.bots.link import Frame, Link, Times, cause_of, connected

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

logger = logging.getLogger(__name__)

MAX_HANGING = 8
"""So many attempts to connect may hang at once, each with a thread: a server may send its answer byte by byte."""


class Wire(Protocol):
    """A messenger's protocol on a connection.

    Threads: `begin`, `hear`, `tick` and `end` are called on the one that keeps the connection; `address` on another,
    which that one waits for.
    Errors: Disconnected for a new connection, Denied and TakenOver for an end.
    """

    def address(self) -> str:
        """Return the URL to connect to, which may take a request."""

    def begin(self, link: Link) -> None:
        """Say who the bot is; return once the messenger has taken it. A wait has short calls of `receive`."""

    def hear(self, link: Link, frame: Frame) -> None:
        """Take a frame, acknowledge it, and hand it on."""

    def tick(self, link: Link) -> None:
        """Send a heartbeat where one is due."""

    def end(self) -> None:
        """Note that the connection is gone."""


class Connection:
    """Keeps a wire connected until it is told to stop.

    on_open: called on the keeping thread whenever the messenger has taken the bot.
    pause: waits between two attempts; `stop` ends it.
    """

    def __init__(
        self,
        wire: Wire,
        times: Times | None = None,
        pause: Callable[[float], None] | None = None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._wire = wire
        self._times = times or Times()
        self._on_open = on_open
        self._stopped = threading.Event()
        self._hurried = threading.Event()
        self._pause = pause or self._wait
        self._was_taken = False
        self._hanging: list[Future[ClientConnection]] = []
        self.is_open = False
        """True while the messenger has taken the bot."""

    def keep(self) -> None:
        """Stay connected until `stop`.

        Errors: Denied where the first answer of the messenger is a refusal; TakenOver at any time.
        """
        failures, was_open = 0, False
        while not self._stopped.is_set():
            opened_at = time.monotonic()
            is_asked, least_s = False, 0.0
            try:
                self._connect()
            except Denied as error:
                if not (was_open or self._was_taken):
                    raise
                logger.error("%s", error)
            except Disconnected as error:
                is_asked, least_s = error.is_asked, error.pause_s
                if not self._stopped.is_set():
                    logger.warning("%s", error)
            was_open = was_open or self._was_taken
            good_s = self._times.asked_s if is_asked else self._times.steady_s
            if self._was_taken and time.monotonic() - opened_at >= good_s:
                failures = 0
            if not self._stopped.is_set():
                self._pause(max(self._pause_s(failures, is_asked=is_asked), least_s * random.uniform(1.0, 1.5)))
            failures += 1

    def try_once(self) -> None:
        """Connect, have the messenger take the bot, and leave.

        Errors: Denied, Disconnected.
        """
        with self._linked():
            pass

    def stop(self) -> None:
        """Leave: `keep` returns within a tick. Any thread, and a signal handler."""
        self._stopped.set()
        self._hurried.set()

    def hurry(self) -> None:
        """Make the next attempt at once: there is something to say before the bot leaves. Any thread."""
        self._hurried.set()

    def _connect(self) -> None:
        """Connect, and listen until the connection ends or `stop` is called."""
        self._was_taken = False
        with self._linked() as link:
            self._was_taken = self.is_open = True
            self._on_open()
            self._listen(link)

    @contextmanager
    def _linked(self) -> Iterator[Link]:
        """Give a link on which the messenger has taken the bot; it is closed at the end of the block."""
        connection = self._opened()
        try:
            link = Link(connection, self._stopped)
            self._wire.begin(link)
            yield link
        finally:
            self.is_open = False
            self._wire.end()
            connection.close()

    def _opened(self) -> ClientConnection:
        """Return a new connection.

        A thread of its own makes it: a name server or a handshake may hang, and such a thread is left behind.
        """
        self._hanging = [each for each in self._hanging if not each.done()]
        if len(self._hanging) >= MAX_HANGING:
            raise Disconnected(f"no connection: {MAX_HANGING} attempts hang")
        opening: Future[ClientConnection] = Future()
        try:
            threading.Thread(target=self._open, args=(opening,), name="bot-opening", daemon=True).start()
        except RuntimeError as error:
            raise Disconnected(f"no connection: {cause_of(error)}") from error
        ends_at = time.monotonic() + self._times.opening_s
        while not wait([opening], self._times.tick_s).done:
            is_late = time.monotonic() >= ends_at
            if is_late or self._stopped.is_set():
                self._hanging.append(opening)
                opening.add_done_callback(_close)
                late = f"no connection within {self._times.opening_s:g} s"
                raise Disconnected(late if is_late else "the bot leaves")
        return opening.result()

    def _open(self, opening: Future[ClientConnection]) -> None:
        try:
            opening.set_result(connected(self._wire.address(), self._times))
        except BaseException as error:  # noqa: BLE001  it is raised on the thread that waits
            opening.set_exception(error)

    def _listen(self, link: Link) -> None:
        heard_at = _now()
        while not self._stopped.is_set():
            frame = link.receive(self._times.tick_s)
            now = _now()
            silent_s = max(now[0] - heard_at[0], now[1] - heard_at[1])
            if frame is not None:
                heard_at = now
                self._wire.hear(link, frame)
            elif silent_s >= self._times.silence_s:
                raise Disconnected(f"nothing came for {silent_s:.0f} s: the connection counts as dead")
            self._wire.tick(link)

    def _pause_s(self, failures: int, *, is_asked: bool) -> float:
        times = self._times
        longest = min(times.first_pause_s * 2.0 ** min(failures, 20), times.longest_pause_s)
        least = 0.0 if is_asked and not failures else longest / 2
        return random.uniform(least, longest)

    def _wait(self, pause_s: float) -> None:
        if self._hurried.wait(pause_s) and not self._stopped.is_set():
            self._hurried.clear()


def _now() -> tuple[float, float]:
    """Return the time by two clocks: one that nobody sets, and one that goes on while the machine sleeps."""
    return time.monotonic(), time.time()


def _close(opening: Future[ClientConnection]) -> None:
    """Close a connection that came too late."""
    if opening.exception() is None:
        opening.result().close()
