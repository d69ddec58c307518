"""The connections to Redis: as many as there are readers, and none that leads to where Redis is no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis.link import Link
from tests.support.redis import RedisServer
from tests.support.tools import DEADLINE_S

MANY = 120
"""More than redis-py's own bound of connections."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server on a port."""
    with RedisServer(tmp_path_factory.mktemp("redis"), is_on_a_port=True) as running:
        yield running


def at_once(link: Link, count: int) -> list[Any]:
    """Call Redis so often at the same time, each time on a connection of its own; return the answers and errors."""
    together = threading.Barrier(count)

    def call() -> Any:
        def ask(client: Any) -> Any:
            pool = client.connection_pool
            connection = pool.get_connection()
            try:
                together.wait(DEADLINE_S)
                connection.send_command("SET", "key", "value")
                return connection.read_response()
            finally:
                pool.release(connection)

        try:
            return link.call(ask)
        except SessionStoreUnavailable as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return [each.result() for each in [threads.submit(call) for _ in range(count)]]


def test_each_reader_has_a_connection_of_its_own(server: RedisServer) -> None:
    link = Link(server.url, "t")
    try:
        assert set(at_once(link, MANY)) == {b"OK"}
        assert link.is_available
    finally:
        link.close()
