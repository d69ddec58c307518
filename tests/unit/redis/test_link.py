"""The connections to Redis: as many as there are readers, and none that leads to where Redis is no more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis.link import BLOCK_S, PAUSE_S, Link
from tests.support.redis import RedisServer
from tests.support.tools import DEADLINE_S, wait_for

AT_ONCE = 8
MANY = 120
"""More than redis-py's own bound of connections."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server on a port."""
    with RedisServer(tmp_path_factory.mktemp("redis"), is_on_a_port=True) as running:
        yield running


class Door:
    """An address that moves from one server to another, as a name does; connections stay where they were made.

    Threads: one takes connections, and two each pass one on.
    """

    def __init__(self, port: int) -> None:
        self.goes_to = port
        self._is_mute = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stack = ExitStack()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._begin(self._take)

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(DEADLINE_S)
        self._stack.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def lose(self, port: int) -> None:
        """Move, and pass nothing on any more of the connections that there are; nobody is told."""
        self._is_mute.set()
        self._is_mute = threading.Event()
        self.goes_to = port

    def _begin(self, step: Any, *args: Any) -> None:
        self._threads.append(threading.Thread(target=step, args=args))
        self._threads[-1].start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                ends = self._listener.accept()[0], socket.create_connection(("127.0.0.1", self.goes_to))
                for end in ends:
                    self._stack.callback(end.close)
                    self._stack.callback(_shut, end)
                for one, other in (ends, ends[::-1]):
                    self._begin(_pass_on, one, other, self._is_mute)


def _pass_on(one: socket.socket, other: socket.socket, is_mute: threading.Event) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            if not is_mute.is_set():
                other.sendall(data)
    _shut(other)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


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


def test_a_name_that_has_moved_is_followed_though_the_old_primary_still_answers(
    server: RedisServer, tmp_path: Path
) -> None:
    with RedisServer(tmp_path / "old", is_on_a_port=True) as old, Door(old.port) as door:
        link = Link(door.url, "t")
        try:
            assert set(at_once(link, AT_ONCE)) == {b"OK"}
            door.goes_to = server.port
            old.client().execute_command("REPLICAOF", "127.0.0.1", str(server.port))  # type: ignore[no-untyped-call]
            with pytest.raises(SessionStoreUnavailable):
                link.call(lambda client: client.set("key", "new"))
            link.call(lambda client: client.set("key", "new"))
            assert server.client().get("key") == b"new"
        finally:
            link.close()


def test_a_connection_that_is_cut_is_no_sign_that_redis_is_away(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    link, admin = Link(server.url, "t"), server.client()
    try:
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(link.wait, lambda client: client.blpop(["nobody"], BLOCK_S))
            wait_for(lambda: any(each["cmd"] == "blpop" for each in admin.client_list()), "it waits")
            admin.client_kill_filter(_type="normal", skipme=True)
            with pytest.raises(SessionStoreUnavailable):
                waiting.result()
        assert link.is_available
        link.ping()
        assert not caplog.records
    finally:
        link.close()


def test_of_the_connections_to_a_host_that_is_lost_one_is_waited_for(server: RedisServer) -> None:
    now = 0.0
    with Door(server.port) as door:
        link = Link(door.url, "t", lambda: now)
        try:
            assert set(at_once(link, AT_ONCE)) == {b"OK"}
            door.lose(server.port)
            with pytest.raises(SessionStoreUnavailable):
                link.ping()
            now += PAUSE_S
            link.ping()
            assert set(at_once(link, AT_ONCE)) == {b"OK"}
        finally:
            link.close()


def test_a_call_that_blocks_does_not_hide_that_redis_is_back(server: RedisServer) -> None:
    now = 0.0
    link = Link(server.url, "back", lambda: now)
    client = server.client()
    server.pause()
    with suppress(SessionStoreUnavailable):
        link.ping()
    server.resume()
    assert not link.is_available
    now += PAUSE_S
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(link.wait, lambda client: client.blpop(["list"], BLOCK_S))
        wait_for(lambda: link.is_available, "it is there again")
        client.rpush("list", "word")
        assert list(waiting.result(DEADLINE_S)) == [b"list", b"word"]
    link.close()


@pytest.mark.parametrize("kind", [NoPermissionError, AuthenticationError])
def test_the_log_has_neither_user_nor_password(kind: type[RedisError], caplog: pytest.LogCaptureFixture) -> None:
    """Redis names its user from 7.2 on."""
    link = Link("redis://geheim:parole@127.0.0.1:6379/0", "t")

    def refuse(_: object) -> None:
        raise kind("User geheim has no permissions to run the 'get' command of parole")

    with pytest.raises(SessionStoreUnavailable) as caught:
        link.call(refuse)
    assert "has no permissions to run the 'get' command" in caplog.text
    for secret in ("geheim", "parole"):
        assert secret not in caplog.text
        assert secret not in str(caught.value)
    link.close()
