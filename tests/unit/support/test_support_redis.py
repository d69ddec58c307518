"""RedisServer: what a test can do to a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.redis import LONGEST_SOCKET, RedisServer


@pytest.fixture(params=[False, True], ids=["passing", "persistent"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server, on a port where it keeps its data."""
    with RedisServer(
        tmp_path / "redis",
        is_on_a_port=request.param,
        is_persistent=request.param,
        users=["user gateway on >secret ~clawgate:* +@all"],
    ) as running:
        yield running


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_restarted_server_has_its_address_and_only_what_it_persists(server: RedisServer, is_killed: bool) -> None:
    client, url, pid = server.client(), server.url, server.pid
    client.set("clawgate:a", "1")
    server.restart(is_killed=is_killed)
    assert (server.url, server.pid == pid) == (url, False)
    assert client.get("clawgate:a") == (b"1" if server.port else None)


def test_a_user_may_do_what_it_is_allowed_to(server: RedisServer) -> None:
    gateway = server.client(server.url_of("gateway", "secret"))
    assert gateway.set("clawgate:a", "1")
    with pytest.raises(redis.exceptions.NoPermissionError):
        gateway.set("other", "1")


def test_a_paused_server_answers_nothing_until_it_is_resumed(server: RedisServer) -> None:
    client = redis.Redis.from_url(server.url, socket_timeout=0.02, retry=None)
    with client:
        client.ping()
        server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    with RedisServer(tmp_path / ("x" * LONGEST_SOCKET)) as server:
        assert server.client().ping()
        folder = server.socket.parent
    assert not folder.exists()
