"""Both stores of sessions for one suite: each is made empty, and can be told that time has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from clawgate.sessions import Bounds, MemoryStore, Message, SessionStore
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    import redis

    from clawgate.redis.link import Link
    from clawgate.redis.store import RedisStore

ASK = (Message(role="user", content="q"),)
ANSWER = Message(role="assistant", content="a")
COMMANDS = (
    "+ping +evalsha +script|load +time +get +set +exists +unlink +pexpire +pttl "
    "+hget +hmget +hset +hdel +hincrby +zadd +zrem +zscore +zcard +zrange +zrangebyscore"
)
"""The commands that sessions need: the ACL of the user that `RedisRoom` connects as."""
USER = f"user gateway on >secret ~clawgate* resetchannels {COMMANDS}"


class Room(Protocol):
    """A place for stores of one kind."""

    def store(self, bounds: Bounds) -> SessionStore:
        """Make a store; a second one shares the sessions of the first, where they are not in its memory."""

    def age(self, seconds: float) -> None:
        """Let time pass."""


class MemoryRoom:
    """Stores in memory, each on its own, on one clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def store(self, bounds: Bounds) -> MemoryStore:
        """Make a store."""
        return MemoryStore(bounds, lambda: self.now)

    def age(self, seconds: float) -> None:
        """Set the clock."""
        self.now += seconds


class RedisRoom:
    """Stores in one Redis, below one prefix: each has its own connections, like a process.

    The server's clock cannot be set; so whatever has a time there is made older.
    """

    def __init__(self, server: RedisServer, prefix: str) -> None:
        self.server = server
        self.prefix = prefix
        self.client: redis.Redis = server.client()
        self.links: list[Link] = []

    def store(self, bounds: Bounds) -> RedisStore:
        """Make a store with a link of its own."""
        from clawgate.redis.store import RedisStore

        return RedisStore(self.link(), bounds)

    def link(self) -> Link:
        """Make a link, which is closed with the room."""
        from clawgate.redis.link import Link

        self.links.append(Link(self.server.url_of("gateway", "secret"), self.prefix))
        return self.links[-1]

    def key(self, *parts: str) -> str:
        """The name of a key."""
        return ":".join((self.prefix, *parts))

    def session(self, session_id: str) -> str:
        """The name of a session's key."""
        from clawgate.redis.naming import session_hash

        return self.key("session", session_hash(session_id))

    def age(self, seconds: float) -> None:
        """Bring the ends of all sessions nearer, and take their uses further back."""
        for key in self.client.keys(self.key("session", "*")):
            self.client.pexpire(key, max(self.client.pttl(key) - int(seconds * 1000), -1))
        for name in ("idle", "busy"):
            members: Any = self.client.zrange(self.key(name), 0, -1)
            for member in members:
                self.client.zincrby(self.key(name), -seconds * 1e6, member)

    def close(self) -> None:
        """Close the stores' connections."""
        for link in self.links:
            link.close()


def talk(store: SessionStore, session_id: str) -> None:
    """One whole question and answer."""
    store.begin(session_id, f"run-{session_id}", ASK)
    assert store.settle(session_id, f"run-{session_id}", ANSWER)


def known(store: SessionStore, *session_ids: str) -> set[str]:
    """Return the ids that exist; each look counts as a use."""
    return {session_id for session_id in session_ids if store.get(session_id) is not None}


def number_in(store: SessionStore) -> int:
    """The number of sessions that a store keeps."""
    counts = store.counts()
    return counts.idle + counts.in_flight
