"""The sessions in Redis: the store of several processes and machines, with the promises of the memory store.

Every change is one step in Redis (lua/). A session's version and its owner fence it: a run that has been overtaken
writes nothing, however late it comes. An answer that cannot be written waits here until Redis is back.

The bounds count the sizes of the messages' JSON; what Redis takes is less, since the messages are compressed. Expired
sessions go by Redis' own clock, also where no gateway runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis.codec import FIELDS, FORMAT, Damaged, name_of, packed, seconds_of, session_of, sizes_of
from clawgate.redis.link import Link, milliseconds
from clawgate.redis.naming import session_hash
from clawgate.redis.waiting import MOST, Unsettled, Waiting
from clawgate.sessions import NO_HEAD, Bounds, Counts, Dropped, Head, Message, Overtaken, Session, with_answer
from clawgate.sessions.session import Trimmed

MOST_BYTES = 1 << 53
log = logging.getLogger(__name__)


class RedisStore:
    """Keeps sessions in Redis; the least recently used go first, and each goes `ttl_s` after its last use.

    Threads: `_lock` guards the sessions with a run of this process, as `begin` has made them, until it settles; it is
    held for memory only.
    """

    def __init__(self, link: Link, bounds: Bounds) -> None:
        self._link = link
        self._bounds = bounds
        self._lock = threading.Lock()
        self._owned: dict[str, Session] = {}
        self._waiting = Waiting()
        self._counts = Counts(0, 0, 0, 0, 0, 0, Dropped())

    @property
    def is_available(self) -> bool:
        """False while Redis does not answer, or takes no writes."""
        return self._link.is_available

    def reconfigure(self, bounds: Bounds) -> None:
        """Put other bounds in force; sessions beyond them go at the next use."""
        self._bounds = bounds

    def ttl_in_force(self) -> float:
        """Return the seconds for which a session is kept after its last use."""
        return self._bounds.ttl_s

    def max_log_bytes(self) -> float:
        """Return the memory that the events of an answer may take."""
        return self._bounds.max_context_bytes

    def get(self, session_id: str) -> Session | None:
        """Return the session and count that as a use; None when it does not exist (any more)."""
        self._settle_kept_of(session_id)
        return self._read(session_id)

    def has(self, session_id: str) -> bool:
        """Tell whether a session exists, without counting that as a use."""
        (found,) = self._look(session_id, "format")
        return found == FORMAT.encode()

    def head(self, session_id: str) -> Head:
        """Return a session's owner and version without counting that as a use; NO_HEAD where it does not exist."""
        self._settle_kept_of(session_id)
        found, run, version = self._look(session_id, "format", "run", "version")
        if found != FORMAT.encode():
            return NO_HEAD
        try:
            return Head(name_of(run), int(version or b""))
        except ValueError as error:
            self._discard(session_id, version, error)
            return NO_HEAD

    def check(self, session: Session, more: Sequence[Message]) -> None:
        """Check that a session has room for more messages, before anything is changed.

        Errors: TooLarge where trimming would leave more than one session may hold.
        """
        self._bounds.check(session, more)

    def begin(self, session_id: str, run_id: str, messages: Sequence[Message], seen: int | None = None) -> Session:
        """Make run_id the owner and messages the context, creating the session where it is new.

        An earlier owner is replaced in the same step: the session is never without one.

        seen: the version of the session that the messages were made from; None for whatever there is.
        Errors: Overtaken. After SessionStoreUnavailable the step may have been taken: then the run, which nobody
        makes, ends with an empty answer as soon as Redis is back.
        """
        self._settle_kept_of(session_id)
        try:
            return self._begin(session_id, run_id, messages, "" if seen is None else str(seen))
        except SessionStoreUnavailable as error:
            if error.__cause__ is not None and len(self._waiting) < MOST // 2:  # else Redis was not asked
                self._waiting.add(Unsettled(session_id, run_id, Message(role="assistant", interrupted=True)))
            raise

    def settle(self, session_id: str, run_id: str, answer: Message) -> bool:
        """Append the run's answer and end its ownership; False (and nothing written) when it is not the owner.

        The answer waits where Redis is away; it returns True then.
        """
        unsettled = Unsettled(session_id, run_id, answer)
        owned = self._take_owned(session_id, run_id)
        try:
            return self._settle(unsettled, owned)
        except SessionStoreUnavailable:
            self._waiting.add(unsettled)
            return True

    def settle_for(self, session_id: str, run_id: str, answer: Message) -> bool:
        """Settle a run of another process, as `settle` does.

        Errors: SessionStoreUnavailable.
        """
        return self._settle(Unsettled(session_id, run_id, answer), None)

    def restore(self, session_id: str, run_id: str) -> bool:
        """Store the session of a run in flight again; False where Redis has not lost it, or the run is none of ours.

        Errors: SessionStoreUnavailable.
        """
        with self._lock:
            owned = self._owned.get(session_id)
        return owned is not None and owned.run_id == run_id and self._begin_again(owned)

    def settle_kept(self) -> bool:
        """Write the answers that could not be written; False while there are any."""
        try:
            for each in self._waiting.all():
                self._settle_again(each)
        except SessionStoreUnavailable:
            return False
        return True

    def settle_run(self, run_id: str) -> None:
        """Write the answer of this run, where it could not be written.

        Errors: SessionStoreUnavailable.
        """
        unsettled = self._waiting.of_run(run_id)
        if unsettled is not None:
            self._settle_again(unsettled)

    def delete(self, session_id: str) -> bool:
        """Delete the session, with or without an owner; False when it does not exist."""
        self._settle_kept_of(session_id)
        is_known = bool(self._run("session_delete", session_id))
        with self._lock:
            self._owned.pop(session_id, None)
        return is_known

    def counts(self) -> Counts:
        """Return what Redis keeps, and what it has lost since it has had sessions; the last known while it is away."""
        try:
            counted = self._link.run("session_counts", (), self._head_args(""))
        except SessionStoreUnavailable:
            return self._counts
        idle, in_flight, text, images, evicted, expired, turns, pictures = (int(each or 0) for each in counted)
        self._counts = Counts(idle, in_flight, text, images, evicted, expired, Dropped(turns, pictures))
        return self._counts

    def _read(self, session_id: str) -> Session | None:
        fields = self._run("session_get", session_id, *FIELDS)
        if fields is None:
            return None
        if len(fields) < len(FIELDS):
            log.warning("a session has the format %r; this version reads %s, and takes it as gone", fields[0], FORMAT)
            return None
        try:
            return session_of(session_id, fields)
        except Damaged as error:
            self._discard(session_id, fields[FIELDS.index("version")], error)
            return None

    def _begin(self, session_id: str, run_id: str, messages: Sequence[Message], seen: str) -> Session:
        kept = self._bounds.trim(messages)
        untrimmed = tuple(messages) if any(kept.dropped) else ()
        args = [session_id, run_id, seen, *_written(kept)]
        if untrimmed:
            args += packed(untrimmed, are_pictures=kept.image_bytes > kept.size_bytes)
        begun = self._run("session_begin", session_id, *args)
        if begun is None:
            raise Overtaken
        version, created, now = begun
        session = Session(
            session_id=session_id,
            messages=kept.messages,
            size_bytes=kept.size_bytes,
            image_bytes=kept.image_bytes,
            dropped=kept.dropped,
            created_at=seconds_of(created),
            last_active=seconds_of(now),
            run_id=run_id,
            last_run_id=run_id,
            version=int(version),
            untrimmed=untrimmed,
        )
        with self._lock:
            known = self._owned.get(session_id)
            if known is None or known.version < session.version:
                self._owned[session_id] = session
        return session

    def _settle(self, unsettled: Unsettled, owned: Session | None) -> bool:
        session_id, run_id, answer = unsettled
        is_own = owned is not None
        if owned is None:  # a run of a process that is dead, or an answer that has waited
            owned = self._read(session_id)
            if owned is None or owned.run_id != run_id:
                return False
        bounds = self._bounds
        kept = bounds.trim(with_answer(owned, answer))
        most = bounds.max_sessions
        limits = most, _whole(most * bounds.max_context_bytes), _whole(most * bounds.max_image_bytes)
        settle = partial(self._run, "session_settle", session_id, run_id, *limits, *_written(kept))
        is_settled = bool(settle())
        if not is_settled and is_own and self._begin_again(owned):
            self._take_owned(session_id, run_id)
            is_settled = bool(settle())
        return is_settled

    def _begin_again(self, owned: Session) -> bool:
        """Store a run's session again, where Redis has lost it, or has it as it was before; False where it has not.

        A Redis that comes back without its last writes has an older version. A later one is of another run, or of
        whoever took this one for dead; and what was deleted stays so.
        """
        messages = owned.untrimmed or owned.messages
        try:
            self._begin(owned.session_id, str(owned.run_id), messages, f"before {owned.version}")
        except Overtaken:
            return False
        log.warning("Redis had lost the session of an answer in flight; it is there again")
        return True

    def _settle_kept_of(self, session_id: str) -> None:
        """Write the answers of one session that could not be written.

        Errors: SessionStoreUnavailable.
        """
        for each in self._waiting.of_session(session_id):
            self._settle_again(each)

    def _settle_again(self, unsettled: Unsettled) -> None:
        self._settle(unsettled, None)
        self._waiting.remove(unsettled)

    def _take_owned(self, session_id: str, run_id: str) -> Session | None:
        with self._lock:
            owned = self._owned.get(session_id)
            return self._owned.pop(session_id) if owned is not None and owned.run_id == run_id else None

    def _discard(self, session_id: str, version: bytes | None, error: Exception) -> None:
        """Delete a session that cannot be read, unless it is another one by now."""
        log.error("a session cannot be read and is forgotten: %s", error)
        self._run("session_delete", session_id, version or b"")

    def _look(self, session_id: str, *fields: str) -> list[bytes | None]:
        key = self._link.key("session", session_hash(session_id))
        found: Any = self._link.call(lambda client: client.hmget(key, fields))
        return list(found)

    def _run(self, script: str, session_id: str, *args: Any) -> Any:
        name = session_hash(session_id)
        return self._link.run(script, [self._link.key("session", name)], [*self._head_args(name), *args])

    def _head_args(self, name: str) -> list[Any]:
        return [self._link.key(""), FORMAT, milliseconds(self._bounds.ttl_s), name]


def _written(kept: Trimmed) -> list[Any]:
    parts = packed(kept.messages, are_pictures=kept.image_bytes > kept.size_bytes)
    return [sizes_of(kept), len(parts), *parts]


def _whole(most: float) -> int:
    return int(min(most, MOST_BYTES))
