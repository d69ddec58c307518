"""The recovery of runs whose process is dead or does not answer: what they have written down becomes their answer."""

from __future__ import annotations

from clawgate.redis.logs import Logs
from clawgate.redis.store import RedisStore
from clawgate.relay.events import Ended
from clawgate.relay.log import Log
from clawgate.relay.peers import Batch, Outcome
from clawgate.sessions import Message


class Recovery:
    """Settles runs from their logs. The store takes that only while the run still owns its session."""

    def __init__(self, store: RedisStore, logs: Logs) -> None:
        self._store = store
        self._logs = logs

    def recover(self, run_id: str, session_id: str | None) -> Outcome | None:
        """Settle what a run has written down, and close its log; None where it is settled, or nobody knows it.

        session_id: its session, where that is known; else the log says it.
        Errors: SessionStoreUnavailable.
        """
        session_id = session_id or self._logs.session_of(run_id)
        if session_id is None or self._store.head(session_id).run_id != run_id:
            return None  # as a rule: a late interrupt must not cost the reading of a long log
        log = self._logs.read(run_id)
        if not self._store.settle_for(session_id, run_id, _answer_of(log)):
            return None
        if log is not None and not log.is_ended:
            end = Ended(session_id, run_id, "interrupted")
            number = log.last + 1
            self._logs.write([Batch(run_id, session_id, number, number, [end], is_anew=False, is_wanted=True)])
        return Outcome(session_id, "" if log is None else log.text)


def _answer_of(log: Log | None) -> Message:
    if log is None:
        return Message(role="assistant", interrupted=True)
    return log.answer(is_unfinished=log.ended is None or log.ended.done_reason != "stop")
