"""Following: a run is found for a reader that comes back, and read on beside whoever drives it."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from clawgate.errors import Busy
from clawgate.relay.driver import Driver
from clawgate.relay.elsewhere import RunElsewhere
from clawgate.relay.events import Event
from clawgate.relay.log import Log
from clawgate.relay.mirror import Mirror
from clawgate.relay.peers import Peers
from clawgate.relay.reader import Reader, Watch
from clawgate.relay.replays import Replays
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run


class Place(NamedTuple):
    """The last event that a reader has: its run, and its number in that run's log."""

    run_id: str
    number: int


class Found(NamedTuple):
    """A run that can be read on behind an event; run is None where only the log of it is left, or is elsewhere.

    reader: the name under which another process, which drives it, knows this reader; the log is what that has written
    down so far. "" for a run of this process, and for one that has ended.
    """

    log: Log
    run: Run | None
    number: int
    reader: str = ""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.log.started.run_id

    @property
    def is_kept(self) -> bool:
        """True where the run belongs to a session that its client knows."""
        return self.run is None or self.run.is_kept

    @property
    def session_id(self) -> str:
        """The id of the run's session."""
        return self.log.started.session_id


class Reading(NamedTuple):
    """The events of a run for one reader; release is called once, when the reader's request is over."""

    events: Iterator[Event]
    release: Callable[[], None]


class Following:
    """Finds the runs that are in flight, and those whose log is kept.

    is_known: tells whether a session exists, or a run that belongs to none is in flight.
    drivers: of the runs whose asker is still there, by the run's id.
    Threads: any.
    """

    def __init__(
        self,
        is_known: Callable[[str], bool],
        roster: Roster,
        replays: Replays,
        drivers: Mapping[str, Driver],
        peers: Peers,
        mirror: Mirror,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_known = is_known
        self._peers = peers
        self._mirror = mirror
        self._is_over = False
        self._roster = roster
        self._replays = replays
        self._drivers = drivers
        self._clock = clock

    def of_session(self, session_id: str, place: Place | None, last_run_id: str | None) -> Found | None:
        """Find what a session's answer in flight, or else its last one, has to say behind an event.

        An event of another run has no place in this one; without an event, all is to be read. None where nothing is.

        last_run_id: the run that the store has for the session.
        """
        if self._peers.has_others:
            return None if last_run_id is None else self._of_any(last_run_id, place)
        run = _unforgotten(self._roster.of_session(session_id))
        log = run.log if run is not None else self._replays.of_session(session_id)
        return None if log is None else _found(log, run, place)

    def of_run(self, place: Place) -> Found | None:
        """Find what a run has to say behind an event of it; None where it has said all, or is not known any more."""
        if self._peers.has_others:
            found = self._of_any(place.run_id, place)
            return found if found is not None and (found.run or self._is_known(found.session_id)) else None
        run = _unforgotten(self._roster.of_id(place.run_id))
        log = run.log if run is not None else self._replays.of_run(place.run_id)
        if log is None or not self._is_known(log.started.session_id):
            return None
        return _found(log, run, place)

    def end_all(self) -> None:
        """Leave the clients that read other processes' runs: they come back to another process."""
        self._is_over = True

    def _of_any(self, run_id: str, place: Place | None) -> Found | None:
        """Find a run here, or where it is."""
        run = _unforgotten(self._roster.of_id(run_id))
        ended = self._mirror.of_id(run_id)
        if run is not None or ended is not None:
            return _found((run or ended).log, run, place)  # type: ignore[union-attr]
        reader = secrets.token_hex(8)
        log = self._peers.log_of(run_id, reader)
        return None if log is None else _found(log, None, place, "" if log.is_ended else reader)

    def read(self, found: Found, heartbeat_s: float, client: socket.socket | None) -> Reading:
        """Read a run on, beside whoever drives it.

        Errors: Busy.
        """
        run = found.run
        if found.reader:
            return self._read_elsewhere(found, heartbeat_s, client)
        if run is None:
            return Reading(iter(found.log.after(found.number)), lambda: None)
        self._roster.arrive(run.run_id)
        try:
            watch = Watch(run, self._clock)
        except OSError as error:
            self._leave(run)
            raise Busy(f"no further answer can be read ({error.strerror}); try again in a moment") from error
        driver = self._drivers.get(run.run_id)
        if driver is not None:
            driver.share()
        free = partial(self._roster.give_slot_back, run.run_id)
        reader = Reader(run, watch, heartbeat_s, client, free, lambda: True, found.number, self._clock)
        return Reading(reader.events(), partial(self._leave, run, watch))

    def _read_elsewhere(self, found: Found, heartbeat_s: float, client: socket.socket | None) -> Reading:
        try:
            self._roster.arrive_elsewhere(found.run_id)
        except Busy:
            self._peers.leave(found.run_id, found.reader)
            raise
        free = _once(partial(self._roster.leave_elsewhere, found.run_id))
        try:
            run = RunElsewhere(found.log, found.reader, self._peers, lambda: self._is_over, self._clock)
        except OSError as error:
            free()
            self._peers.leave(found.run_id, found.reader)
            raise Busy(f"no further answer can be read ({error.strerror}); try again in a moment") from error
        reader = Reader(run, run, heartbeat_s, client, free, lambda: True, found.number, self._clock)

        def release() -> None:
            run.release()
            free()

        return Reading(reader.events(), release)

    def _leave(self, run: Run, watch: Watch | None = None) -> None:
        """Count a reader of a run no more; a run that nobody reads any more looks how long it may go on."""
        if watch is not None:
            watch.release()
        self._roster.leave(run.run_id)
        run.wake_event.wake()


def _once(step: Callable[[], None]) -> Callable[[], None]:
    """Return what takes a step, but only the first time; for one thread."""
    steps = [step]
    return lambda: steps.pop()() if steps else None


def _unforgotten(run: Run | None) -> Run | None:
    return None if run is None or run.is_forgotten else run


def _found(log: Log, run: Run | None, place: Place | None, reader: str = "") -> Found | None:
    number = 0 if place is None else place.number if place.run_id == log.started.run_id else -1
    return None if log.is_ended and number == log.last else Found(log, run, number, reader)
