"""Admission: a request becomes a run, or is refused before anything has changed.

Everything here happens in the session's turn (locks.py). The store is asked and the prompt is built there, so that a
long history or a slow store holds up its own session and no other. Between processes the store decides: a context that
was made from a session that has changed meanwhile is not taken, and the admission begins again. The answer of another
process is ended before that, and outside the turn.
"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from functools import partial

from clawgate.errors import Busy, BusySession, NothingToContinue, UnknownSession
from clawgate.relay.closings import Closings
from clawgate.relay.locks import SessionLocks
from clawgate.relay.mirror import Mirror
from clawgate.relay.peers import Peers
from clawgate.relay.prompt import ChatRequest, context_of, continues_text, is_unfinished, joined, make_prompt
from clawgate.relay.replays import Replays
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import NO_HEAD, Dropped, Head, Message, Overtaken, Session, SessionStore

UNKNOWN = "this session does not exist (any more); send the full history as `messages`"
MOST_TURNS = 20
"""An admission begins again so often; each time another process has admitted a question of the same session."""


class _OwnedElsewhere(Exception):
    """The session's answer is in flight in another process."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class Admission:
    """Makes runs, and makes each of them the owner of its session.

    Threads: any. A session's lock is taken before those of the roster, of a run and of the store.
    """

    def __init__(
        self,
        store: SessionStore,
        roster: Roster,
        locks: SessionLocks,
        closings: Closings,
        replays: Replays,
        peers: Peers,
        mirror: Mirror,
    ) -> None:
        self._store = store
        self._roster = roster
        self._locks = locks
        self._closings = closings
        self._replays = replays
        self._peers = peers
        self._mirror = mirror

    def continues_text(self, request: ChatRequest) -> bool:
        """Tell whether a request would go on with an answer that has some text. Nothing changes.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, BusySession, TooLarge, SessionStoreUnavailable.
        """
        if not request.is_continue or request.session_id is None:
            return False
        with self._locks.of(request.session_id):
            self._roster.check_admits()
            session = self.known(request.session_id)
            head = Head(session.run_id, session.version)
            old = self._owner_here(head, request.session_id)
            if self._is_elsewhere(head):
                self.check_busy(request)
                return True
            unsettled = _unsettled(old, head)
            self._check(request, session, old, unsettled)
            return continues_text(request, joined(session, unsettled))

    def admit(self, request: ChatRequest, is_able: bool = False) -> Run:
        """Take a slot, end the session's running answer, store the context, and make the run.

        is_able: the model is known to be able to go on with a partial answer.

        Errors: ShuttingDown, UnknownSession, NothingToContinue, BusySession, TooLarge, Busy; then nothing has changed.
        SessionStoreUnavailable; then the running answer may have ended.
        """
        try:
            wake_event = WakeEvent()  # first, so that a process without fds refuses before it changes anything
        except OSError as error:
            raise Busy(f"no further answer can be started ({error.strerror}); try again in a moment") from error
        session_id = (request.is_kept and request.session_id) or f"sess_{secrets.token_hex(16)}"
        try:
            return self._in_turn(request, session_id, wake_event, is_able)
        except BaseException:
            wake_event.release()
            raise

    def _in_turn(self, request: ChatRequest, session_id: str, wake_event: WakeEvent, is_able: bool) -> Run:
        has_ended_sibling = False
        for _ in range(MOST_TURNS):
            try:
                with self._locks.of(session_id):
                    return self._admit(request, session_id, wake_event, is_able, has_ended_sibling)
            except Overtaken:
                continue
            except _OwnedElsewhere as owned:
                self._peers.end(owned.run_id, session_id, "superseded")
                has_ended_sibling = self._peers.is_sibling(owned.run_id)
        raise Busy("this session is being asked by others all the time; try again in a moment")

    def _admit(
        self, request: ChatRequest, session_id: str, wake_event: WakeEvent, is_able: bool, has_ended_sibling: bool
    ) -> Run:
        self._roster.check_admits()
        is_known = request.is_kept and request.session_id is not None and request.messages is None
        session = self.known(session_id) if is_known else None
        head = Head(session.run_id, session.version) if session is not None else self._head(request)
        old = self._owner_here(head, session_id)
        if self._is_elsewhere(head):
            self.check_busy(request)
            self._check_room(request, session, None)
            self._roster.check_free(is_beyond=self._peers.is_sibling(head.run_id or ""))
            raise _OwnedElsewhere(head.run_id or "")
        self._check(request, session, old, _unsettled(old, head))
        if head == NO_HEAD:
            self._forget(session_id, old)
        run_id = self._peers.name_run()
        self._roster.take_slot(run_id, old, is_beyond=has_ended_sibling)
        try:
            # The store replaces the owner in one step: the session is never without one.
            with old.ending("superseded") if old is not None else nullcontext() as answer:
                context = context_of(request, session, answer if _owns(old, head) else None)
                prompt = make_prompt(request, context, is_able)
                dropped = Dropped()
                if request.is_kept:
                    dropped = self._store.begin(session_id, run_id, context, head.version).dropped
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
        if self._peers.has_others:
            self._mirror.add(run)
        if not self._roster.add(run):
            run.end("interrupted")  # a drain has ended all other runs meanwhile
        return run

    def _head(self, request: ChatRequest) -> Head:
        """Return the head of the session that a request names; a new one has none."""
        if not request.is_kept or request.session_id is None:
            return NO_HEAD
        return self._store.head(request.session_id)

    def _is_elsewhere(self, head: Head) -> bool:
        return head.run_id is not None and self._peers.is_elsewhere(head.run_id)

    def _owner_here(self, head: Head, session_id: str) -> Run | None:
        """Return this process's run of a session; one that has lost the session to another process ends."""
        run = self._roster.of_session(session_id)
        if run is not None and run.is_kept and head != NO_HEAD and run.run_id != head.run_id:
            run.end("superseded")  # again is harmless; it may have ended long ago, and still have its reader
        return run

    def _forget(self, session_id: str, old: Run | None) -> None:
        """Forget what an earlier session under this id has said, and is still being read or kept."""
        self._replays.drop(session_id)
        if old is not None:
            old.is_forgotten = True

    def _check(self, request: ChatRequest, session: Session | None, old: Run | None, unsettled: Message | None) -> None:
        """Refuse a request that cannot be served.

        Errors: BusySession, NothingToContinue, TooLarge.
        """
        if old is not None and not old.has_outcome:
            self.check_busy(request)
        if session is not None and request.is_continue and not is_unfinished(joined(session, unsettled)):
            raise NothingToContinue("continue: the session's last message is not an unfinished answer")
        self._check_room(request, session, unsettled)

    def _check_room(self, request: ChatRequest, session: Session | None, unsettled: Message | None) -> None:
        """Check that a session has room for its answer so far, where that is known, and for a request's message.

        Errors: TooLarge.
        """
        if session is not None:
            self._store.check(session, [message for message in (unsettled, request.message) if message is not None])

    def check_busy(self, request: ChatRequest) -> None:
        """Errors: BusySession, where an answer is in flight, and the request does not want to end it."""
        if request.on_busy == "reject":
            raise BusySession("an answer of this session is still streaming; interrupt it, or drop on_busy: reject")

    def known(self, session_id: str) -> Session:
        """Return a session.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        session = self._store.get(session_id)
        if session is None:
            raise UnknownSession(UNKNOWN)
        return session

    def check_known(self, session_id: str) -> None:
        """Check that a session exists, without reading it.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        if not self._store.has(session_id):
            raise UnknownSession(UNKNOWN)


def _forget_answer(_answer: Message) -> bool:
    """Settle an answer that belongs to no session."""
    return False


def _owns(run: Run | None, head: Head) -> bool:
    return run is not None and run.run_id == head.run_id


def _unsettled(run: Run | None, head: Head) -> Message | None:
    return run.unsettled() if run is not None and _owns(run, head) else None
