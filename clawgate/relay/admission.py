"""Admission: a request becomes a run, or is refused before anything has changed.

Everything here happens under the session's lock. The store is asked and the prompt is built under that lock alone, so
that a long history or a slow store holds up its own session and no other.
"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from functools import partial

from clawgate.errors import Busy, BusySession, NothingToContinue, UnknownSession
from clawgate.relay.closings import Closings
from clawgate.relay.locks import SessionLocks
from clawgate.relay.prompt import ChatRequest, context_of, continues_text, is_unfinished, joined, make_prompt
from clawgate.relay.replays import Replays
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Dropped, Message, Session, SessionStore


class Admission:
    """Makes runs, and makes each of them the owner of its session.

    Threads: any. A session's lock is taken before those of the roster, of a run and of the store.
    """

    def __init__(
        self, store: SessionStore, roster: Roster, locks: SessionLocks, closings: Closings, replays: Replays
    ) -> None:
        self._store = store
        self._roster = roster
        self._locks = locks
        self._closings = closings
        self._replays = replays

    def continues_text(self, request: ChatRequest) -> bool:
        """Tell whether a request would go on with an answer that has some text. Nothing changes.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, BusySession, TooLarge.
        """
        if not request.is_continue or request.session_id is None:
            return False
        with self._locks.of(request.session_id):
            self._roster.check_admits()
            session = self.known(request.session_id)
            old = self._roster.of_session(request.session_id)
            self._check(request, session, old)
            return continues_text(request, joined(session, _unsettled(old)))

    def admit(self, request: ChatRequest, is_able: bool = False) -> Run:
        """Take a slot, end the session's running answer, store the context, and make the run.

        is_able: the model is known to be able to go on with a partial answer.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, BusySession, TooLarge, Busy; then nothing has changed.
        """
        try:
            wake_event = WakeEvent()  # first, so that a process without fds refuses before it changes anything
        except OSError as error:
            raise Busy(f"no further answer can be started ({error.strerror}); try again in a moment") from error
        session_id = (request.is_kept and request.session_id) or f"sess_{secrets.token_hex(16)}"
        try:
            with self._locks.of(session_id):
                return self._admit(request, session_id, wake_event, is_able)
        except BaseException:
            wake_event.release()
            raise

    def _admit(self, request: ChatRequest, session_id: str, wake_event: WakeEvent, is_able: bool) -> Run:
        self._roster.check_admits()
        is_known = request.is_kept and request.session_id is not None and request.messages is None
        session = self.known(session_id) if is_known else None
        old = self._roster.of_session(session_id)
        self._check(request, session, old)
        if session is None and not self._store.has(session_id):
            self._forget(session_id, old)
        run_id = f"run_{secrets.token_hex(16)}"
        self._roster.take_slot(run_id, old)
        try:
            # The store replaces the owner in one step: the session is never without one.
            with old.ending("superseded") if old is not None else nullcontext() as answer:
                context = context_of(request, session, answer)
                prompt = make_prompt(request, context, is_able)
                dropped = self._store.begin(session_id, run_id, context).dropped if request.is_kept else Dropped()
        except BaseException:
            self._roster.give_slot_back(run_id)
            raise
        run = Run(
            session_id,
            run_id,
            prompt,
            partial(self._store.settle, session_id, run_id) if request.is_kept else _forget_answer,
            wake_event,
            request.ignored,
            request.request_id,
            predecessor=old,
            session_lock=partial(self._locks.of, session_id),
            dropped=session.untold.and_then(dropped) if session is not None else dropped,
            closings=self._closings,
            is_detachable=request.on_disconnect == "detach" and request.is_kept,
            is_kept=request.is_kept,
            max_log_bytes=self._replays.max_log_bytes,
        )
        if not self._roster.add(run):
            run.end("interrupted")  # a drain has ended all other runs meanwhile
        return run

    def _forget(self, session_id: str, old: Run | None) -> None:
        """Forget what an earlier session under this id has said, and is still being read or kept."""
        self._replays.drop(session_id)
        if old is not None:
            old.is_forgotten = True

    def _check(self, request: ChatRequest, session: Session | None, old: Run | None) -> None:
        """Refuse a request that cannot be served.

        Errors: BusySession, NothingToContinue, TooLarge.
        """
        if old is not None and not old.has_outcome and request.on_busy == "reject":
            raise BusySession("an answer of this session is still streaming; interrupt it, or drop on_busy: reject")
        if session is not None:
            unsettled = _unsettled(old)
            if request.is_continue and not is_unfinished(joined(session, unsettled)):
                raise NothingToContinue("continue: the session's last message is not an unfinished answer")
            self._store.check(session, [message for message in (unsettled, request.message) if message is not None])

    def known(self, session_id: str) -> Session:
        """Return a session.

        Errors: UnknownSession.
        """
        session = self._store.get(session_id)
        if session is None:
            raise UnknownSession("this session does not exist (any more); send the full history as `messages`")
        return session


def _forget_answer(_answer: Message) -> bool:
    """Settle an answer that belongs to no session."""
    return False


def _unsettled(run: Run | None) -> Message | None:
    return run.unsettled() if run is not None else None
