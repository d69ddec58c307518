"""Sessions in this process's memory: a lock-guarded dict in order of last use, with a limit and a time to live.

This is the store of a gateway with one worker. Each session is bounded, whatever its roles, and so are idle sessions
together, however large single turns are: there are at most max_sessions of them, their texts take at most max_sessions
* max_context_bytes, and their pictures max_sessions * max_image_bytes. Sessions with a run in flight are counted apart:
there are as many as answers in flight, they push out no idle one, and none of them is ever evicted.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from clawgate.sessions.bounds import Bounds
from clawgate.sessions.message import Message
from clawgate.sessions.session import (
    NO_HEAD,
    Counts,
    Dropped,
    Head,
    Overtaken,
    Session,
    Trimmed,
    with_answer,
)

Clock = Callable[[], float]


class _Entry(NamedTuple):
    """A session as it is kept.

    Units: memory_bytes is what its messages take in memory beside the pictures' own bytes, which are
    `session.image_bytes`; used_at is on the monotonic clock.
    """

    session: Session
    memory_bytes: int
    used_at: float


class MemoryStore:
    """Keeps sessions; the least recently used go first, and each goes `ttl_s` after its last use.

    Threads: `_lock` guards the dicts and the sums; it is held for memory only, and nothing is measured or trimmed under
    it. The time to live counts on a monotonic clock, so that no session is lost when the wall clock is set.
    """

    def __init__(self, bounds: Bounds, clock: Clock = time.monotonic, wall_clock: Clock = time.time) -> None:
        self._bounds = bounds
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._in_flight: dict[str, _Entry] = {}
        self._idle: OrderedDict[str, _Entry] = OrderedDict()  # least recently used first
        self._idle_bytes = 0
        self._idle_image_bytes = 0
        self._evicted = 0
        self._expired = 0
        self._trimmed_off = Dropped()
        self._version = 0

    is_available = True

    def reconfigure(self, bounds: Bounds) -> None:
        """Put other bounds in force; sessions beyond them go at the next use."""
        self._bounds = bounds

    def __len__(self) -> int:
        with self._lock:
            return len(self._in_flight) + len(self._idle)

    def get(self, session_id: str) -> Session | None:
        """Return the session and count that as a use; None when it does not exist (any more)."""
        with self._lock:
            self._expire()
            entry = self._take(session_id)
            if entry is None:
                return None
            session = msgspec.structs.replace(entry.session, last_active=self._wall_clock())
            self._put(session, entry.memory_bytes)
            return session

    def has(self, session_id: str) -> bool:
        """Tell whether a session exists, without counting that as a use."""
        with self._lock:
            self._expire()
            return session_id in self._in_flight or session_id in self._idle

    def head(self, session_id: str) -> Head:
        """Return a session's owner and version without counting that as a use; NO_HEAD where it does not exist."""
        with self._lock:
            self._expire()
            return self._head(session_id)

    def check(self, session: Session, more: Sequence[Message]) -> None:
        """Check that a session has room for more messages, before anything is changed.

        Errors: TooLarge where trimming would leave more than one session may hold.
        """
        self._bounds.check(session, more)

    def begin(self, session_id: str, run_id: str, messages: Sequence[Message], seen: int | None = None) -> Session:
        """Make run_id the owner and messages the context, creating the session where it is new.

        An earlier owner is replaced in the same step: the session is never without one.

        seen: the version of the session that the messages were made from; None for whatever there is.
        Errors: Overtaken.
        """
        kept = self._bounds.trim(messages)
        memory_bytes = _memory_of(kept)
        with self._lock:
            self._expire()
            if seen not in (None, self._head(session_id).version):
                raise Overtaken
            now = self._wall_clock()
            known = self._take(session_id)
            session = Session(
                session_id=session_id,
                messages=kept.messages,
                size_bytes=kept.size_bytes,
                image_bytes=kept.image_bytes,
                dropped=kept.dropped,
                created_at=known.session.created_at if known else now,
                last_active=now,
                run_id=run_id,
                last_run_id=run_id,
                version=self._next_version(),
                untrimmed=tuple(messages) if any(kept.dropped) else (),
            )
            self._put(session, memory_bytes)
            self._trimmed_off = self._trimmed_off.and_then(kept.dropped)
            self._evict()
            return session

    def settle(self, session_id: str, run_id: str, answer: Message) -> bool:
        """Append the run's answer and end its ownership; False (and nothing written) when it is not the owner."""
        with self._lock:
            owned = self._owned(session_id, run_id)
        if owned is None:
            return False
        kept = self._bounds.trim(with_answer(owned, answer))
        memory_bytes = _memory_of(kept)
        with self._lock:
            owned = self._owned(session_id, run_id)
            if owned is None:  # it was deleted or taken over meanwhile
                return False
            del self._in_flight[session_id]
            settled = msgspec.structs.replace(
                owned,
                messages=kept.messages,
                size_bytes=kept.size_bytes,
                image_bytes=kept.image_bytes,
                dropped=kept.dropped,
                last_active=self._wall_clock(),
                run_id=None,
                version=self._next_version(),
                untrimmed=(),
            )
            self._put(settled, memory_bytes)
            self._trimmed_off = self._trimmed_off.and_then(kept.dropped)
            self._evict()
            return True

    def delete(self, session_id: str) -> bool:
        """Delete the session, with or without an owner; False when it does not exist."""
        with self._lock:
            self._expire()
            return self._take(session_id) is not None

    def counts(self) -> Counts:
        """Return what the store keeps, and what it has lost."""
        with self._lock:
            self._expire()
            return Counts(
                len(self._idle),
                len(self._in_flight),
                self._idle_bytes,
                self._idle_image_bytes,
                self._evicted,
                self._expired,
                self._trimmed_off,
            )

    def _head(self, session_id: str) -> Head:
        entry = self._in_flight.get(session_id) or self._idle.get(session_id)
        return NO_HEAD if entry is None else Head(entry.session.run_id, entry.session.version)

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _owned(self, session_id: str, run_id: str) -> Session | None:
        entry = self._in_flight.get(session_id)
        return entry.session if entry is not None and entry.session.run_id == run_id else None

    def _put(self, session: Session, memory_bytes: int) -> None:
        entry = _Entry(session, memory_bytes, self._clock())
        if session.run_id is not None:
            self._in_flight[session.session_id] = entry
        else:
            self._idle[session.session_id] = entry
            self._count(entry, 1)

    def _count(self, entry: _Entry, times: int) -> None:
        """Add an idle session to the sums, or subtract it."""
        self._idle_bytes += times * entry.memory_bytes
        self._idle_image_bytes += times * entry.session.image_bytes

    def _take(self, session_id: str) -> _Entry | None:
        """Take a session out, to delete it or to put it back as the one used last."""
        entry = self._in_flight.pop(session_id, None)
        if entry is None:
            entry = self._idle.pop(session_id, None)
            if entry is not None:
                self._count(entry, -1)
        return entry

    def _expire(self) -> None:
        """Delete the sessions beyond the time to live; in order of use, the first live one ends the loop."""
        horizon = self._clock() - self._bounds.ttl_s
        while self._idle and next(iter(self._idle.values())).used_at <= horizon:
            self._delete_oldest()
            self._expired += 1

    def _evict(self) -> None:
        """Delete sessions while they are over the limits, but never the one that was used last."""
        most, bounds = self._bounds.max_sessions, self._bounds
        while len(self._idle) > 1 and (
            len(self._idle) > most
            or self._idle_bytes > most * bounds.max_context_bytes
            or self._idle_image_bytes > most * bounds.max_image_bytes
        ):
            self._delete_oldest()
            self._evicted += 1

    def _delete_oldest(self) -> None:
        _, entry = self._idle.popitem(last=False)
        self._count(entry, -1)


def _memory_of(kept: Trimmed) -> int:
    return sum(message.memory_bytes() for message in kept.messages) - kept.image_bytes
