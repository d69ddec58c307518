"""The desk: the one place where runs are admitted, interrupted, forgotten and drained.

At most one run per session is in flight. The desk knows a run from its admission until its request is over. The slot is
free a moment earlier, before the reader gets the end event, so that a client can ask again as soon as it reads that.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from clawgate.config import StreamConfig
from clawgate.errors import ClawgateError, SessionStoreUnavailable
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.context import ContextSizes
from clawgate.ollama.silence import Places
from clawgate.relay.admission import Admission
from clawgate.relay.closings import Closings
from clawgate.relay.continuation import ContinuationCheck
from clawgate.relay.diagnosis import MAX_LOOKING
from clawgate.relay.driver import Driver
from clawgate.relay.events import Event
from clawgate.relay.following import Following, Found, Place, Reading
from clawgate.relay.interrupts import Interruption, Interrupts
from clawgate.relay.keys import Keys, KnownKeys
from clawgate.relay.locks import SessionLocks
from clawgate.relay.mirror import Mirror
from clawgate.relay.passage import Passages
from clawgate.relay.peers import Alone, Peers
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.pump import Pump, Shared
from clawgate.relay.recorder import Recorder
from clawgate.relay.replays import Keeping, Replays
from clawgate.relay.report import InHand, Observer, Standing
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run
from clawgate.relay.slots import OwnSlots, Slots
from clawgate.relay.smoothing import Load
from clawgate.sessions import Session, SessionStore

LAST_WORDS_S = 5.0
"""A drain waits so long for the readers of ended runs to get their end event."""


class _InForce(NamedTuple):
    """The settings that a reload changes, as one value: no thread sees half of a change."""

    client: OllamaClient
    limits: StreamConfig


class Desk:
    """Admits runs, and ends those that do not end by themselves.

    Threads: any. A session's lock is taken before those of the roster, of its run and of the store.
    """

    def __init__(
        self,
        store: SessionStore,
        client: OllamaClient,
        max_streams: int,
        limits: StreamConfig,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
        keeping: Keeping | None = None,
        peers: Peers | None = None,
        keys: KnownKeys | None = None,
        *,
        slots: Slots | None = None,
        is_store_required: bool = True,
    ) -> None:
        self._store = store
        self._peers = peers = peers or Alone()
        self._is_store_required = is_store_required
        self._in_force = _InForce(client, limits)
        self._observers = observers
        self._clock = clock
        self._roster = Roster(slots or OwnSlots(max_streams))
        self._locks = SessionLocks()
        self._replays = Replays(keeping or Keeping(), store.has)
        self._drivers: dict[str, Driver] = {}
        self._mirror = Mirror(self._locks, clock)
        self._following = Following(
            self._is_known, self._roster, self._replays, self._drivers, peers, self._mirror, clock
        )
        self._keys = keys or Keys(self._is_known)
        self._key_locks = SessionLocks()
        self._closings = Closings()
        self._admission = Admission(
            store, self._roster, self._locks, self._closings, self._replays, peers, self._mirror
        )
        self._interrupts = Interrupts(
            store, self._roster, self._locks, self._replays, peers, self._admission.check_known
        )
        self.passages = Passages(
            self._roster,
            self._closings,
            lambda: self._in_force.client,
            lambda: self._in_force.limits.first_frame_seconds,
        )
        self._continuation = ContinuationCheck()
        self._recorders: dict[str, Recorder] = {}
        self._shared = Shared(Load(), ContextSizes(), Places(MAX_LOOKING))

    @property
    def streams(self) -> int:
        """Return how many slots are taken: by the answers in flight, and by further readers of theirs."""
        return self._roster.streams

    @property
    def max_streams(self) -> int:
        """Return how many slots there are."""
        return self._roster.max_streams

    def in_hand(self) -> InHand:
        """Return what is in hand; nothing waits for that, and no store is asked."""
        recorders = list(self._recorders.values())
        return InHand(len(recorders), sum(recorder.is_waiting for recorder in recorders), self._closings.count)

    def standing(self) -> Standing:
        """Return how things stand; the sessions may be counted on another machine."""
        roster, store = self._roster, self._store
        return Standing(roster.streams, roster.max_streams, *self.in_hand(), store.counts(), store.is_available)

    @property
    def is_draining(self) -> bool:
        """True once the process takes no new chats."""
        return self._roster.is_refusing

    def has_slot(self, run_id: str) -> bool:
        """True until a reader of the run is about to get the end event."""
        return self._roster.has_slot(run_id)

    @property
    def is_store_missing(self) -> bool:
        """True while the store cannot be asked, and new answers are refused because of that."""
        return self._is_store_required and not self._store.is_available

    def start(self) -> None:
        """Begin to listen to other processes; call in the process that serves, after a fork."""
        self._peers.start(self._mirror)

    def stop(self) -> None:
        """Listen to no other process any more, once all runs are over."""
        self._peers.stop()

    def reconfigure(
        self,
        client: OllamaClient,
        limits: StreamConfig,
        keeping: Keeping | None = None,
        *,
        is_store_required: bool = True,
    ) -> None:
        """Put another Ollama and other limits in force; running answers keep their limits."""
        self._is_store_required = is_store_required
        self._in_force = _InForce(client, limits)
        self._replays.reconfigure(keeping or Keeping())

    def admit(self, request: ChatRequest) -> Run:
        """Admit a request: end the session's running answer, store the context, and make the run.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, CannotContinue, BusySession, TooLarge, Busy; then
        nothing has changed. SessionStoreUnavailable; then the running answer may have ended.
        """
        return self._admit(request, self._is_able(request))

    def _is_known(self, session_id: str) -> bool:
        """Tell whether a session exists; a run that belongs to none is known while it is in flight."""
        run = self._roster.of_session(session_id)
        return (run is not None and not run.is_kept) or self._store.has(session_id)

    def _is_able(self, request: ChatRequest) -> bool:
        """Tell whether the model is known to be able to go on with the answer that a request continues; may take long.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, CannotContinue, BusySession, TooLarge.
        """
        return self._admission.continues_text(request) and self._continuation.check(
            self._in_force.client, request.model
        )

    def _admit(self, request: ChatRequest, is_able: bool) -> Run:
        self._peers.start(self._mirror)
        try:
            run = self._admission.admit(request, is_able)
        except SessionStoreUnavailable:
            if not self._goes_unkept(request):
                raise
            run = self._admit_unkept(request)
        self._recorders[run.run_id] = Recorder(run, self._observers, self._clock(), self._closings)
        return run

    def _goes_unkept(self, request: ChatRequest) -> bool:
        """Tell whether a request may be answered without its session, while nobody can ask for that."""
        return not (self._is_store_required or request.is_increment)

    def _admit_unkept(self, request: ChatRequest) -> Run:
        """Admit a request without its session, which nobody can ask for now; its answer here ends, as it would."""
        old = self._roster.of_session(request.session_id or "")
        if old is not None and not old.has_outcome:
            self._admission.check_busy(request)
            old.end("superseded")
            old.close()
        return self._admission.admit(replace(request, is_kept=False))

    def admit_once(self, request: ChatRequest, key: str, asked: ChatRequest) -> Run | Found | None:
        """Admit a request, or find its run where the same request came before under this key.

        None where that run has nothing to say any more.

        asked: the request as its client sent it, without what the operator adds.

        Errors: those of `admit`; BadRequest where another request came under the key.
        """
        try:
            return self._admit_once(request, key, asked)
        except SessionStoreUnavailable:
            if not self._goes_unkept(request):
                raise
            return self.admit(request)  # which nobody keeps, so that nobody could find it again

    def _admit_once(self, request: ChatRequest, key: str, asked: ChatRequest) -> Run | Found | None:
        run_id = self._keys.run_of(key, asked)
        if run_id is not None:
            return self.find_run(Place(run_id, 0))
        try:
            is_able = self._is_able(request)  # not under the lock: who waits for that has no slot
        except ClawgateError:
            with self._key_locks.of(key):
                run_id = self._keys.run_of(key, asked)
            if run_id is None:
                raise
            return self.find_run(Place(run_id, 0))  # the same request was quicker: this one is refused because of that
        with self._key_locks.of(key):
            run_id = self._keys.reserve(key, asked)
            if run_id is not None:
                return self.find_run(Place(run_id, 0))
            try:
                run = self._admit(request, is_able)
            except BaseException:
                self._keys.give_back(key)
                raise
            self._keys.note(key, asked, run.session_id, run.run_id)
            return run

    def pump(self, run: Run, client: socket.socket | None) -> Iterator[Event]:
        """Yield the run's events; the thread that iterates drives the run, until the client has left."""
        limits = self._in_force.limits
        recorder = self._recorders[run.run_id]
        pump = Pump(run, lambda: self._in_force.client, limits, recorder, self._clock, self._shared)
        detach_s = limits.detach_seconds if run.is_detachable else 0.0
        is_read_elsewhere = partial(self._mirror.has_readers, run.run_id)
        driver = Driver(
            run, pump, self._roster, detach_s, partial(self._forget_run, run), is_read_elsewhere, self._clock
        )
        self._drivers[run.run_id] = driver
        return driver.events(limits.heartbeat_seconds, client)

    def release(self, run: Run) -> None:
        """Let go of a run; called once, when the request for it is over. It ends, or goes on without its reader."""
        driver = self._drivers.pop(run.run_id, None)
        if driver is None:
            self._forget_run(run)
        else:
            driver.release()

    def _forget_run(self, run: Run) -> None:
        """Forget a run, and end it where nothing else did; its log is kept for readers that come late."""
        try:
            run.release()
            with self._locks.of(run.session_id):
                is_last = self._roster.of_session(run.session_id) is run
                if not self._peers.has_others and is_last and run.is_settled and self._store.has(run.session_id):
                    self._replays.keep(run.log)
        finally:
            self._roster.remove(run)
            self._recorders[run.run_id].report_end(run, self._clock())
            del self._recorders[run.run_id]  # now that it is counted

    def find(self, session_id: str, place: Place | None) -> Found | None:
        """Find what a session's reader has not read yet, of its answer in flight or else of the last one.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        try:
            last_run_id = self._admission.known(session_id).last_run_id
        except SessionStoreUnavailable:
            run = self._roster.of_session(session_id)
            if run is None or run.has_outcome:
                raise
            last_run_id = run.run_id  # it is read without the store
        return self._following.of_session(session_id, place, last_run_id)

    def find_run(self, place: Place) -> Found | None:
        """Find what a run has to say behind an event of it; None where it has said all, or is not known any more.

        Errors: SessionStoreUnavailable.
        """
        return self._following.of_run(place)

    def read(self, found: Found, client: socket.socket | None) -> Reading:
        """Read a run on, beside whoever drives it.

        Errors: Busy.
        """
        return self._following.read(found, self._in_force.limits.heartbeat_seconds, client)

    def interrupt(self, session_id: str | None, run_id: str | None) -> Interruption:
        """End a session's run (only run_id, where given) and return once its text is settled.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        return self._interrupts.interrupt(session_id, run_id)

    def session(self, session_id: str) -> Session:
        """Return a session.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        return self._admission.known(session_id)

    def forget(self, session_id: str) -> None:
        """Interrupt a session's answer and delete the session.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        self._interrupts.forget(session_id)

    def drain(self, grace_s: float) -> None:
        """Take no more chats; give the running answers grace_s, then end them as interrupted.

        Returns once no run is left, or `LAST_WORDS_S` later.
        """
        self._roster.refuse_more()
        if self._roster.wait_until_empty(grace_s):
            return
        left = self._roster.runs_to_end()
        self.passages.end_all()
        self._following.end_all()
        for run in left:
            run.end("interrupted")
        for run in left:
            run.close()
        self._roster.wait_until_empty(LAST_WORDS_S)
