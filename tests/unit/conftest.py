"""Fixtures of the unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

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
