"""The desk: the one place where runs are admitted, interrupted, forgotten and drained.

At most one run per session is in flight. The desk knows a run from its admission until its request is over. The slot is
free a moment earlier, before the reader gets the end event, so that a client can ask again as soon as it reads that.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from clawgate.config import StreamConfig
from clawgate.errors import UnknownSession
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.context import ContextSizes
from clawgate.ollama.silence import Places
from clawgate.relay.admission import Admission
from clawgate.relay.closings import Closings
from clawgate.relay.continuation import ContinuationCheck
from clawgate.relay.diagnosis import MAX_LOOKING
from clawgate.relay.events import Event
from clawgate.relay.locks import SessionLocks
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.pump import Pump, Shared
from clawgate.relay.reader import Reader
from clawgate.relay.recorder import Recorder
from clawgate.relay.report import Observer
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run
from clawgate.relay.smoothing import Load
from clawgate.sessions import Session, SessionStore

LAST_WORDS_S = 5.0
"""A drain waits so long for the readers of ended runs to get their end event."""


class Interruption(NamedTuple):
    """The outcome of an interrupt; partial is the text of the run that it hit."""

    session_id: str | None
    run_id: str | None
    interrupted: bool
    partial: str = ""


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
    ) -> None:
        self._store = store
        self._in_force = _InForce(client, limits)
        self._observers = observers
        self._clock = clock
        self._roster = Roster(max_streams)
        self._locks = SessionLocks()
        self._admission = Admission(store, self._roster, self._locks, Closings())
        self._continuation = ContinuationCheck()
        self._recorders: dict[str, Recorder] = {}
        self._shared = Shared(Load(), ContextSizes(), Places(MAX_LOOKING))

    @property
    def streams(self) -> int:
        """Return how many answers are in flight."""
        return self._roster.streams

    @property
    def is_draining(self) -> bool:
        """True once the process takes no new chats."""
        return self._roster.is_refusing

    def has_slot(self, run: Run) -> bool:
        """True until the run's reader is about to get the end event."""
        return self._roster.has_slot(run.run_id)

    def reconfigure(self, client: OllamaClient, limits: StreamConfig) -> None:
        """Put another Ollama and other limits in force; running answers keep their limits."""
        self._in_force = _InForce(client, limits)

    def admit(self, request: ChatRequest) -> Run:
        """Admit a request: end the session's running answer, store the context, and make the run.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, CannotContinue, BusySession, TooLarge, Busy; then
        nothing has changed.
        """
        is_able = self._admission.continues_text(request) and self._continuation.check(
            self._in_force.client, request.model
        )
        run = self._admission.admit(request, is_able)
        self._recorders[run.run_id] = Recorder(run, self._observers, self._clock())
        return run

    def pump(self, run: Run, reader_socket: socket.socket | None) -> Iterator[Event]:
        """Yield the run's events; the thread that iterates drives the run."""
        limits = self._in_force.limits
        recorder = self._recorders[run.run_id]
        pump = Pump(run, lambda: self._in_force.client, limits, recorder, self._clock, self._shared)
        free = partial(self._roster.give_slot_back, run.run_id)
        return Reader(run, pump, limits.heartbeat_seconds, reader_socket, free, self._clock).events()

    def release(self, run: Run) -> None:
        """Forget a run, and end it where nothing else did; called once, when its request is over."""
        try:
            run.release()
        finally:
            self._roster.remove(run)
            self._recorders.pop(run.run_id).report_end(run, self._clock())

    def interrupt(self, session_id: str | None, run_id: str | None) -> Interruption:
        """End a session's run (only run_id, where given) and return once its text is settled.

        Its connection to Ollama is closed by then, or once that may be (closings.py).

        Errors: UnknownSession.
        """
        run = self._roster.of_id(run_id or "")
        whose = session_id or (run.session_id if run is not None else None)
        if whose is None:
            return Interruption(None, run_id, interrupted=False)
        with self._locks.of(whose):  # it hits an answer that is just being superseded, or the next one
            if session_id is not None:
                self._admission.known(session_id)  # the run of a deleted session may still have its reader
                run = self._roster.of_session(session_id)
            is_meant = run is not None and run_id in (None, run.run_id)
            if run is None or not is_meant or not run.end("interrupted"):
                return Interruption(whose, run_id, interrupted=False)
        run.close()
        return Interruption(run.session_id, run.run_id, interrupted=True, partial=run.text)

    def session(self, session_id: str) -> Session:
        """Return a session.

        Errors: UnknownSession.
        """
        return self._admission.known(session_id)

    def forget(self, session_id: str) -> None:
        """Interrupt a session's answer and delete the session.

        Errors: UnknownSession.
        """
        with self._locks.of(session_id):
            run = self._roster.of_session(session_id)
            with run.ending("interrupted") if run is not None else nullcontext():
                is_known = self._store.delete(session_id)
        if run is not None:
            run.close()
        if not is_known:
            raise UnknownSession("this session does not exist (any more)")

    def drain(self, grace_s: float) -> None:
        """Take no more chats; give the running answers grace_s, then end them as interrupted.

        Returns once no run is left, or `LAST_WORDS_S` later.
        """
        self._roster.refuse_more()
        if self._roster.wait_until_empty(grace_s):
            return
        left = self._roster.runs_to_end()
        for run in left:
            run.end("interrupted")
        for run in left:
            run.close()
        self._roster.wait_until_empty(LAST_WORDS_S)
