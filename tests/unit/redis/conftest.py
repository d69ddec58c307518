"""Fixtures of the tests with several processes on one Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis import RedisServer
from tests.unit.redis.two_desks import Process, processes


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for a module of processes."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def pair(shared: RedisServer) -> Iterator[list[Process]]:
    """Two processes."""
    with processes(shared) as started:
        yield started
