"""The desk: which session has which run. It admits, interrupts, supersedes, forgets and drains.

At most one run per session is in flight. A run is here from its admission until its request is over. Its slot is free a
moment earlier, before its reader is told the end: whoever reads that may ask again at once.

The desk works for one session at a time in that session's turn (turns.py). It asks the store and builds prompts while
it holds the turn, never under its own lock, so that a long history or a slow store holds up its own session alone.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from clawgate.config import StreamConfig
from clawgate.errors import Busy, BusySession, NothingToContinue, ShuttingDown, UnknownSession
from clawgate.ollama.client import OllamaClient
from clawgate.relay.events import Event
from clawgate.relay.prompt import ChatRequest, Prompt, context_of, is_unfinished, joined
from clawgate.relay.pump import Pump
from clawgate.relay.reader import Reader
from clawgate.relay.run import Run
from clawgate.relay.turns import Turns
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Session, SessionStore, prompt_of
from clawgate.telemetry.logs import NOT_KNOWN

log = logging.getLogger(__name__)

LAST_WORDS_S = 5.0
"""How long a drain waits for ended runs to tell their readers so."""
_LEAVING = "the gateway is shutting down; try again in a moment"


class Interruption(NamedTuple):
    """What an interrupt did; partial is the run's text where it hit one."""

    session_id: str | None
    run_id: str | None
    interrupted: bool
    partial: str = ""


class Desk:
    """Keeps the runs in flight.

    Threads: `_lock` guards the runs, the slots and whether the desk is draining; it is held for memory only, and
    nothing is waited for under it but the drain's condition. A session's turn is taken before it, a run's own lock and
    the store's after it.
    """

    def __init__(self, store: SessionStore, client: OllamaClient, max_streams: int, limits: StreamConfig) -> None:
        self._store = store
        self._client = client
        self._max_streams = max_streams
        self._limits = limits
        self._turns = Turns()
        self._lock = threading.Lock()
        self._is_idle = threading.Condition(self._lock)
        self._by_session: dict[str, Run] = {}
        self._by_id: dict[str, Run] = {}
        self._slots = 0
        self._wedges = 0
        self._is_draining = False
        self._is_over = False

    @property
    def streams(self) -> int:
        """Return how many answers are in flight."""
        return self._slots

    @property
    def wedges(self) -> int:
        """Return how often a slot of Ollama's was found to hang."""
        return self._wedges

    @property
    def is_draining(self) -> bool:
        """True once the process takes no new chats."""
        return self._is_draining

    def change(self, client: OllamaClient, limits: StreamConfig) -> None:
        """Give the answers from now on another Ollama and other limits; running ones keep their limits."""
        with self._lock:
            self._client, self._limits = client, limits

    def admit(self, request: ChatRequest) -> Run:
        """Take a request: give it a slot, end the session's running answer, store the context, make the run.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, BusySession, TooLarge, Busy; then nothing has changed.
        """
        wake_event = WakeEvent()  # first: a process out of fds refuses before it changes anything
        session_id = request.session_id or f"sess_{secrets.token_hex(16)}"
        try:
            with self._turns.of(session_id):
                return self._admit(request, session_id, wake_event)
        except BaseException:
            wake_event.close()
            raise

    def _admit(self, request: ChatRequest, session_id: str, wake_event: WakeEvent) -> Run:
        if self._is_draining:
            raise ShuttingDown(_LEAVING)
        is_known = request.session_id is not None and request.messages is None
        session = self._known(session_id) if is_known else None
        old = self._by_session.get(session_id)
        self._check(request, session, old)
        self._take_slot(old)
        try:
            run = self._take_over(request, session, session_id, wake_event, old)
        except BaseException:
            with self._lock:
                self._slots -= 1
                self._tell_if_idle()
            raise
        with self._lock:
            self._by_session[session_id] = self._by_id[run.run_id] = run
            is_over = self._is_over
        if is_over:  # admitted in the very moment in which the drain ended all that there were
            run.end("interrupted")
        return run

    def _check(self, request: ChatRequest, session: Session | None, old: Run | None) -> None:
        """Refuse what cannot be served, before anything is changed for it."""
        if old is not None and not old.is_concluded and request.on_busy == "reject":
            raise BusySession("an answer of this session is still streaming; interrupt it, or drop on_busy: reject")
        if session is not None:
            unsettled = old.unsettled() if old is not None else None
            if request.is_continue and not is_unfinished(joined(session.messages, unsettled)):
                raise NothingToContinue("continue: the session's last message is not an unfinished answer")
            self._store.check(session, [message for message in (unsettled, request.message) if message is not None])

    def _take_slot(self, old: Run | None) -> None:
        """Take a slot, the running answer's where there is one.

        Errors: ShuttingDown, Busy.
        """
        with self._lock:
            if self._is_draining:
                raise ShuttingDown(_LEAVING)
            if old is not None and old.has_slot:
                old.has_slot = False
            elif self._slots < self._max_streams:
                self._slots += 1
            else:
                raise Busy(f"all {self._max_streams} streams are taken; try again in a moment")

    def _take_over(
        self, request: ChatRequest, session: Session | None, session_id: str, wake_event: WakeEvent, old: Run | None
    ) -> Run:
        """End the running answer and make the next one the session's owner in its place, in one step of the store's."""
        if old is not None:
            old.conclude("superseded")
        answer = old.take_answer() if old is not None else None
        try:
            context = context_of(request, session, answer)
            messages = prompt_of(context)
            is_continuation = request.is_continue and bool(messages) and messages[-1].role == "assistant"
            prompt = Prompt(
                model=request.model, messages=messages, extras=request.extras, is_continuation=is_continuation
            )
            run_id = f"run_{secrets.token_hex(16)}"
            self._store.begin(session_id, run_id, context)
        except BaseException:
            if old is not None and answer is not None:
                self._store.settle(session_id, old.run_id, answer)
            raise
        finally:
            if old is not None:
                old.announce()
        return Run(
            session_id, run_id, prompt, self._settle, wake_event, request.ignored, request.request_id, predecessor=old
        )

    def _settle(self, run: Run) -> None:
        with self._turns.of(run.session_id):
            answer = run.take_answer()  # None where a newer run has taken the session over, with what this one said
            if answer is not None:
                self._store.settle(run.session_id, run.run_id, answer)

    def _known(self, session_id: str) -> Session:
        session = self._store.get(session_id)
        if session is None:
            raise UnknownSession("this session does not exist (any more); send the full history as `messages`")
        return session

    def pump(self, run: Run, reader_socket: socket.socket | None) -> Iterator[Event]:
        """Yield the run's events on this thread, which drives the run."""
        pump = Pump(run, lambda: self._client, self._limits)
        heartbeat_s = self._limits.heartbeat_seconds
        return Reader(run, pump, heartbeat_s, reader_socket, partial(self._give_slot_back, run)).events()

    def _give_slot_back(self, run: Run) -> None:
        with self._lock:
            self._slots -= run.has_slot
            run.has_slot = False

    def release(self, run: Run) -> None:
        """End what is left of a run and forget it; called once when its request is over, however it went."""
        run.release()
        self._give_slot_back(run)
        with self._lock:
            if self._by_session.get(run.session_id) is run:
                del self._by_session[run.session_id]
            self._by_id.pop(run.run_id, None)
            self._wedges += run.wedges
            self._tell_if_idle()
        _log_end(run)

    def _is_nobody_left(self) -> bool:
        return not self._by_id and not self._slots  # a slot without a run is an admission under way

    def _tell_if_idle(self) -> None:
        if self._is_nobody_left():
            self._is_idle.notify_all()

    def interrupt(self, session_id: str | None, run_id: str | None) -> Interruption:
        """End a session's run (only run_id, where given) and return once its connection to Ollama is closed.

        Errors: UnknownSession.
        """
        with self._lock:
            run = self._by_id.get(run_id or "")
        whose = session_id or (run.session_id if run is not None else None)
        if whose is None:
            return Interruption(None, run_id, interrupted=False)
        with self._turns.of(whose):  # so that it hits an answer that is just being superseded, or the one that follows
            if session_id is not None:
                self._known(session_id)  # a deleted one may have a run here whose reader has not left yet
                run = self._by_session.get(session_id)
            is_meant = run is not None and run_id in (None, run.run_id)
            if run is None or not is_meant or not run.end("interrupted"):
                return Interruption(whose, run_id, interrupted=False)
        run.close()
        return Interruption(run.session_id, run.run_id, interrupted=True, partial=run.text)

    def session(self, session_id: str) -> Session:
        """Return what has been said.

        Errors: UnknownSession.
        """
        return self._known(session_id)

    def forget(self, session_id: str) -> None:
        """Interrupt what streams and forget everything; return once the connection to Ollama is closed.

        Errors: UnknownSession.
        """
        with self._turns.of(session_id):
            run = self._by_session.get(session_id)
            if run is not None:
                run.conclude("interrupted")
                run.take_answer()  # nobody is to settle it any more
            try:
                is_known = self._store.delete(session_id)
            finally:
                if run is not None:
                    run.announce()
        if run is not None:
            run.close()
        if not is_known:
            raise UnknownSession("this session does not exist (any more)")

    def drain(self, grace_s: float) -> None:
        """Take no more chats; give the running ones grace_s, then end them as interrupted and let them say so.

        Returns once no run is left, or the last words took too long.
        """
        with self._lock:
            self._is_draining = True
            if self._is_idle.wait_for(self._is_nobody_left, grace_s):
                return
            self._is_over = True
            left = list(self._by_id.values())
        for run in left:
            run.end("interrupted")
        for run in left:
            run.close()
        with self._lock:
            self._is_idle.wait_for(self._is_nobody_left, LAST_WORDS_S)


def _log_end(run: Run) -> None:
    assert run.ended is not None
    log.info(
        "answer ended: session=%(session)s run=%(run)s request=%(request)s model=%(model)s reason=%(reason)s "
        "tokens=%(tokens)s first_token_ms=%(first_token_ms)s duration_ms=%(duration_ms)s bytes=%(bytes)s",
        {
            **run.names,
            "model": run.prompt.model,
            "reason": run.ended.error.code if run.ended.error else run.ended.done_reason,
            "tokens": run.ended.stats.get("eval_count", NOT_KNOWN),
            "first_token_ms": _ms(run.first_token_at - run.started_at) if run.first_token_at else NOT_KNOWN,
            "duration_ms": _ms(time.monotonic() - run.started_at),
            "bytes": len((run.thinking + run.text).encode()),
        },
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
