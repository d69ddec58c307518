"""The ends of answers from outside: an interrupt, and the deletion of a session, wherever the answer is being made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

from clawgate.errors import SessionStoreUnavailable, UnknownSession
from clawgate.relay.locks import SessionLocks
from clawgate.relay.peers import Peers
from clawgate.relay.replays import Replays
from clawgate.relay.roster import Roster
from clawgate.relay.run import Run
from clawgate.sessions import NO_HEAD, SessionStore

LOOKS = 5
"""An answer that ends by itself just then may have been superseded: the next one is looked for so often."""


class Interruption(NamedTuple):
    """The outcome of an interrupt; partial is the text of the run that it hit."""

    session_id: str | None
    run_id: str | None
    interrupted: bool
    partial: str = ""


class Interrupts:
    """Ends answers.

    check_known: raises UnknownSession for a session that does not exist.
    Threads: any. A session's lock is taken before those of the roster, of its run and of the store. Another process is
    asked without any.
    """

    def __init__(
        self,
        store: SessionStore,
        roster: Roster,
        locks: SessionLocks,
        replays: Replays,
        peers: Peers,
        check_known: Callable[[str], None],
    ) -> None:
        self._store = store
        self._roster = roster
        self._locks = locks
        self._replays = replays
        self._peers = peers
        self._check_known = check_known

    def interrupt(self, session_id: str | None, run_id: str | None) -> Interruption:
        """End a session's run (only run_id, where given) and return once its text is settled.

        Its connection to Ollama is closed by then, or once that may be (closings.py).

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        if session_id is None:
            return self._interrupt_run(run_id)
        for _ in range(LOOKS):
            with self._locks.of(session_id):  # it hits an answer that is just being superseded, or the next one
                run = self._roster.of_session(session_id)
                owner = self._owner(session_id, run)
                is_meant = owner is not None and run_id in (None, owner)
                if run is None or not is_meant or run.run_id != owner or not run.end("interrupted"):
                    run = None
            if run is not None:
                return _closed(run)
            done = self._end_elsewhere(session_id, owner) if is_meant else None
            if done is not None:
                return done
            if owner is None or not self._peers.is_elsewhere(owner) or not is_meant:
                break
        self._check_known(session_id)  # the run of a deleted session may still have its reader
        return Interruption(session_id, run_id, interrupted=False)

    def _interrupt_run(self, run_id: str | None) -> Interruption:
        run = self._roster.of_id(run_id or "")
        if run is None:
            return self._end_elsewhere(None, run_id) or Interruption(None, run_id, interrupted=False)
        with self._locks.of(run.session_id):
            is_ended_here = run.end("interrupted")
        if is_ended_here:
            return _closed(run)
        return Interruption(run.session_id if run.is_kept else None, run_id, interrupted=False)

    def forget(self, session_id: str) -> None:
        """Interrupt a session's answer and delete the session.

        Errors: UnknownSession, SessionStoreUnavailable.
        """
        if self._peers.has_others:
            self._end_elsewhere(session_id, self._store.head(session_id).run_id)
        with self._locks.of(session_id):
            run = self._roster.of_session(session_id)
            with run.ending("interrupted") if run is not None else nullcontext():
                is_known = self._store.delete(session_id)
            self._replays.drop(session_id)
        if run is not None:
            run.close()
        if not is_known:
            raise UnknownSession("this session does not exist (any more)")

    def _owner(self, session_id: str, run: Run | None) -> str | None:
        """Return the run that owns a session; where nobody can be asked, or knows it, that is the run in flight here.

        Errors: SessionStoreUnavailable.
        """
        here = None if run is None or run.has_outcome else run.run_id
        if run is not None and (not run.is_kept or not self._peers.has_others):
            return run.run_id
        try:
            head = self._store.head(session_id)
        except SessionStoreUnavailable:
            if here is None:
                raise
            return here
        return here if head == NO_HEAD else head.run_id

    def _end_elsewhere(self, session_id: str | None, run_id: str | None) -> Interruption | None:
        """End a run of another process; None where it has ended by itself, or is not known."""
        if run_id is None or not self._peers.is_elsewhere(run_id):
            return None
        outcome = self._peers.end(run_id, session_id, "interrupted")
        return outcome and Interruption(outcome.session_id, run_id, interrupted=True, partial=outcome.partial)


def _closed(run: Run) -> Interruption:
    run.close()
    return Interruption(run.session_id if run.is_kept else None, run.run_id, interrupted=True, partial=run.text)
