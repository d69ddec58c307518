"""The worker's main loop, one turn at a time: who makes room, who is waited for, and when it ends."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from selectors import DefaultSelector
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from gunicorn.config import Config

from clawgate import unix_socket
from clawgate.server.connection import Connection
from clawgate.server.crew import Crew
from clawgate.server.worker import Worker
from clawgate.sockets import SEND_BUFFER_BYTES, SEND_TIMEOUT_S

LIMITS = {"threads": 2, "worker_connections": 2, "keepalive": 60}


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker that does not run: its tests take the turns."""
    cfg = Config()
    for name, value in LIMITS.items():
        cfg.set(name, value)
    worker = Worker(1, os.getppid(), [], None, 30, cfg, logging.getLogger("tests"))
    worker._poll = DefaultSelector()
    yield worker
    worker._poll.close()
    worker.tmp.close()


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder whose path is short enough for a socket's."""
    with TemporaryDirectory(prefix="clawgate-") as folder:
        yield folder


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Connections: the server's side and the client's."""
    pairs = [socket.socketpair() for _ in range(2)]
    yield pairs
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_a_client_of_a_unix_socket_is_bounded_too(worker: Worker, folder: str) -> None:
    """An accepted connection inherits the bounds of a port's listener, and none of a Unix socket's."""
    path = f"{folder}/s"
    with unix_socket.listen(path) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        listener.setblocking(False)
        worker._accept(listener, path)
        (conn,) = worker._new
        assert conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER_BYTES
        assert conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)[:8] == struct.pack("l", SEND_TIMEOUT_S)
        worker._drop(conn)


def test_a_connection_that_never_asked_makes_room_before_one_that_did(worker: Worker, pairs: Any) -> None:
    asked, silent = (Connection(ours, None, None, is_tls=False) for ours, _ in pairs)
    asked.parser = object()
    for conn in (asked, silent):
        worker._connections += 1
        worker._wait(conn)
    worker._turn()
    assert (asked.sock.fileno() >= 0, silent.sock.fileno()) == (True, -1)
    assert worker._connections == 1


def test_a_client_has_a_moment_where_threads_are_few_and_none_where_a_request_waits(worker: Worker, pairs: Any) -> None:
    clients = [ours for ours, _ in pairs]
    for client in clients:
        worker.clients.enter(client)
        worker.clients.linger(client)
    worker._free_threads()
    assert worker._is_crowded
    assert [worker.clients.leave(client) for client in clients] == [True, True], "not yet"
    for client in clients:
        worker.clients.enter(client)
        worker.clients.linger(client)
    worker._threads._jobs.put(lambda: None)
    worker._free_threads()
    assert [worker.clients.leave(client) for client in clients] == [False, False]


def test_a_worker_that_can_accept_nothing_pauses(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    class Listener:
        def accept(self) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

    worker._is_listening = True
    for _ in range(2):
        worker._accept(Listener(), ("127.0.0.1", 1))
    worker._turn()
    assert not worker._is_listening
    assert [record.getMessage() for record in caplog.records] == [
        "no file descriptor is left for new connections: raise LimitNOFILE or `ulimit -n`"
    ]


def test_a_worker_whose_master_has_ended_ends(worker: Worker) -> None:
    worker._look_after_all()
    assert worker.alive
    worker.ppid, worker._looked_at = -1, 0.0
    worker._look_after_all()
    assert not worker.alive


def test_ctrl_c_cuts_no_thread_that_still_writes(worker: Worker) -> None:
    """gunicorn's own handler leaves the process at once."""
    worker.handle_quit(signal.SIGINT, None)
    assert not worker.alive


def test_a_worker_with_more_to_do_leaves_a_connection_to_another_and_takes_it_where_it_is_still_there(
    worker: Worker, folder: str
) -> None:
    worker.crew = Crew(2)
    worker.crew.join(1)
    worker.crew.tell(0)
    worker.crew.join(0)
    worker._connections = 1
    path = f"{folder}/s"
    with unix_socket.listen(path) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        listener.setblocking(False)
        worker._tell_crew(has_room=True)
        for _ in range(2):
            worker._accept(listener, path)
        assert not worker._new
        worker._left_until = time.monotonic()  # its time is over
        worker._accept(listener, path)
        (conn,) = worker._new
        worker._drop(conn)


def test_a_worker_that_ends_its_answers_leaves_connections_to_others(worker: Worker) -> None:
    worker.crew = Crew(2)
    worker.crew.join(1)
    worker.crew.tell(99)
    worker.crew.join(0)
    worker._tell_crew(has_room=True)
    assert not worker._leaves_to_others()
    worker.is_leaving = True
    worker._tell_crew(has_room=True)
    assert worker._leaves_to_others()
