"""Two processes of one gateway in one: each has a desk, a store and peers of its own, and both share a real Redis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clawgate.redis.keys import RedisKeys
from clawgate.redis.link import Link
from clawgate.redis.logs import Logs
from clawgate.redis.peers import RedisPeers
from clawgate.redis.store import RedisStore
from clawgate.relay.events import Event, Reset, Text
from clawgate.relay.following import Place
from clawgate.sessions import Bounds
from tests.support.redis import RedisServer
from tests.unit.relay.desk_room import Room

_numbers = itertools.count(1)


class Process(Room):
    """A desk as a process of its own has it; one that is not new has listened to the others for long."""

    def __init__(
        self,
        url: str,
        prefix: str,
        family: str = "",
        max_streams: int = 100,
        *,
        required: bool = True,
        is_new: bool = False,
    ) -> None:
        self.link = Link(url, prefix)
        store = RedisStore(self.link, Bounds(100, 1800, 1 << 20))
        logs = Logs(self.link, store.ttl_in_force, store.max_log_bytes)
        self.peers = RedisPeers(self.link, store, logs, family or f"{next(_numbers):08x}")
        keys = RedisKeys(self.link, store.has, store.ttl_in_force)
        super().__init__(max_streams, store=store, peers=self.peers, keys=keys, is_store_required=required)
        self.desk.start()
        if not is_new:
            assert self.peers._beat is not None
            self.peers._beat._unsure_from = -math.inf

    def vanish(self) -> None:
        """Be killed, as far as the others can see: no lease, no word, and nothing is written any more."""
        beat = self.peers._beat
        assert beat is not None
        self.peers._is_over.set()
        beat._is_over.set()
        beat._thread.join()
        client = self.link._client
        client.delete(self.link.key("process", self.peers._process))
        client.zadd(self.link.key("processes"), {self.peers._process: 0})

    def end(self) -> None:
        """End all that is left."""
        self.desk.drain(0)
        for reader in self.readers:
            reader.end()
        self.desk.stop()
        self.link.close()


def read(process: Process, session_id: str = "s", place: Place | None = None) -> Iterator[Event]:
    """Read a session's answer on."""
    found = process.desk.find(session_id, place)
    assert found is not None
    reading = process.desk.read(found, None)
    try:
        yield from reading.events
    finally:
        reading.release()


def text_of(events: list[Event]) -> str:
    """The text of events."""
    return "".join(event.text for event in events if isinstance(event, Text | Reset))


@contextmanager
def processes(server: RedisServer, count: int = 2, **options: Any) -> Iterator[list[Process]]:
    """Start processes on one Redis, under a prefix of their own."""
    prefix = f"t{next(_numbers)}"
    started: list[Process] = []
    try:
        for _ in range(count):
            started.append(Process(server.url, prefix, **options))
        yield started
    finally:
        for each in started:
            each.end()
