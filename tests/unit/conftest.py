"""Fixtures of the unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.redis import RedisServer
from tests.support.stores import USER, MemoryRoom, RedisRoom
from tests.support.tools import require_procfs
from tests.unit.relay.desk_room import MakeRoom, Room


@pytest.fixture
def room() -> Iterator[MakeRoom]:
    """Make rooms; afterwards nothing may be left of them."""
    require_procfs()
    before = len(os.listdir("/proc/self/fd"))
    rooms: list[Room] = []

    def make(**options: int) -> Room:
        rooms.append(Room(**options))
        return rooms[-1]

    yield make
    for each in rooms:
        each.desk.drain(0)
        for reader in each.readers:
            reader.end()
        assert each.desk.streams == 0
        assert not each.desk._roster._by_session
        assert not each.desk._roster._by_id
        assert not each.desk._recorders
        assert not each.desk._locks._locks
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis-server for the tests of a module; each has a prefix of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis"), users=[USER]) as server:
        yield server


@pytest.fixture(scope="module")
def redis_prefixes() -> Iterator[str]:
    """Names that no two tests of a module share."""
    return (f"clawgate{number}" for number in count())


@pytest.fixture
def redis_room(redis_server: RedisServer, redis_prefixes: Iterator[str]) -> Iterator[RedisRoom]:
    """A place for stores in Redis."""
    made = RedisRoom(redis_server, next(redis_prefixes))
    yield made
    made.close()


@pytest.fixture(params=["memory", "redis"], scope="module")
def store_kind(request: pytest.FixtureRequest) -> str:
    """The two kinds of stores in turn; Redis is started before the tests that use it."""
    if request.param == "redis":
        request.getfixturevalue("redis_server")
    return str(request.param)


@pytest.fixture
def store_room(store_kind: str, request: pytest.FixtureRequest) -> MemoryRoom | RedisRoom:
    """A place for stores of one kind."""
    if store_kind == "memory":
        return MemoryRoom()
    made: RedisRoom = request.getfixturevalue("redis_room")
    return made
