"""Sessions in this process's memory: a lock-guarded dict in order of last use, with a limit and a time to live.

The store of a gateway with one worker. Bounded: at most max_sessions of them (a session with a run in flight is never
evicted, so max_streams more at the worst), each at most max_context_bytes beyond its system messages and last turn,
and what is idle of them together at most max_sessions * max_context_bytes, however large single turns are.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile

import msgspec

from clawgate.sessions.session import Message, Session, join_answer, trim

Clock = Callable[[], float]


class MemoryStore:
    """The least-recently-used sessions go first, and each `ttl_s` after its last use.

    Threads: `_lock` guards the dicts and the sum; it is held for memory only. Time to live is counted on a monotonic
    clock, so that a clock that is set back or forward forgets nothing.
    """

    def __init__(
        self,
        max_sessions: int,
        ttl_s: float,
        max_context_bytes: int,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        self._max_sessions = max_sessions
        self._ttl_s = ttl_s
        self._max_context_bytes = max_context_bytes
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._used_at: dict[str, float] = {}
        self._bytes: dict[str, int] = {}
        self._all_bytes = 0

    def change(self, max_sessions: int, ttl_s: float, max_context_bytes: int) -> None:
        """Put other limits in force; what is over them goes at the next use."""
        with self._lock:
            self._max_sessions, self._ttl_s, self._max_context_bytes = max_sessions, ttl_s, max_context_bytes

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def get(self, session_id: str) -> Session | None:
        """Return the session and count that as a use; None when there is none (any more)."""
        with self._lock:
            self._expire()
            session = self._sessions.get(session_id)
            if session is None:
                return None
            return self._put(msgspec.structs.replace(session, last_active=self._wall_clock()), self._bytes[session_id])

    def begin(self, session_id: str, run_id: str, messages: Sequence[Message]) -> Session:
        """Make run_id the owner and messages the context, creating the session where it is new."""
        kept = trim(messages, self._max_context_bytes)
        size = _memory_of(kept)
        with self._lock:
            self._expire()
            now = self._wall_clock()
            known = self._sessions.get(session_id)
            created_at = known.created_at if known else now
            session = self._put(
                Session(session_id=session_id, messages=kept, created_at=created_at, last_active=now, run_id=run_id),
                size,
            )
            self._evict()
            return session

    def settle(self, session_id: str, run_id: str, answer: Message) -> bool:
        """Append what the run said and end its ownership; False (and nothing written) when it is not the owner."""
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None or session.run_id != run_id:
                return False
            messages = trim(join_answer(session.messages, answer), self._max_context_bytes)
            self._evict()  # before it is idle itself: the one just used is the last to go
            now = self._wall_clock()
            settled = msgspec.structs.replace(session, messages=messages, last_active=now, run_id=None)
            self._put(settled, _memory_of(messages))
            return True

    def delete(self, session_id: str) -> bool:
        """Forget the session whoever owns it; False when there was none."""
        with self._lock:
            self._expire()
            is_known = session_id in self._sessions
            if is_known:
                self._forget(session_id)
            return is_known

    def _put(self, session: Session, size: int) -> Session:
        self._all_bytes += size - self._bytes.get(session.session_id, 0)
        self._bytes[session.session_id] = size
        self._sessions[session.session_id] = session
        self._sessions.move_to_end(session.session_id)
        self._used_at[session.session_id] = self._clock()
        return session

    def _expire(self) -> None:
        """Forget what was not used for the time to live; the dict is in that order, so the first live one ends it."""
        horizon = self._clock() - self._ttl_s
        for session_id in list(takewhile(lambda each: self._used_at[each] <= horizon, self._idle())):
            self._forget(session_id)

    def _evict(self) -> None:
        excess = len(self._sessions) - self._max_sessions
        if excess > 0:
            for session_id in list(islice(self._idle(), excess)):
                self._forget(session_id)
        while self._all_bytes > self._max_sessions * self._max_context_bytes:
            oldest = next(self._idle(), None)
            if oldest is None:
                break
            self._forget(oldest)

    def _idle(self) -> Iterator[str]:
        """Yield the sessions without a run in flight, least recently used first."""
        return (session_id for session_id, session in self._sessions.items() if session.run_id is None)

    def _forget(self, session_id: str) -> None:
        self._all_bytes -= self._bytes.pop(session_id)
        del self._sessions[session_id], self._used_at[session_id]


def _memory_of(messages: Sequence[Message]) -> int:
    """Give what the texts of messages take: one emoji makes each character of its text take four bytes."""
    return sum(
        sys.getsizeof(message.content)
        + (sys.getsizeof(message.thinking) if message.thinking else 0)
        + sum(map(sys.getsizeof, message.images))
        + (len(msgspec.json.encode(message.tool_calls)) if message.tool_calls else 0)
        for message in messages
    )
