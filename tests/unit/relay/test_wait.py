"""The one wait of a pump: what wakes it, what does not, and nothing left behind."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate.relay import wait
from clawgate.relay.wait import NOTHING, Waiter, Wake, WakeEvent
from tests.support.tools import require_procfs

SOON_S = 10.0
"""A wait that ends long before because something happened."""


@pytest.fixture(params=["eventfd", "pipe"])
def flag(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WakeEvent]:
    """A flag on each kind of fd."""
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("os.eventfd is not there: Python 3.10 on Linux has it")
    flag = WakeEvent()
    yield flag
    flag.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the other."""
    ours, other = socket.socketpair()
    with ours, other:
        yield ours, other


def open_fds() -> set[str]:
    """The fds of this process."""
    return set(os.listdir("/proc/self/fd"))


def test_a_flag_wakes_once_for_each_wake_and_stays_unset(flag: WakeEvent) -> None:
    waiter = Waiter(flag, None)
    assert waiter.wait(0, for_upstream=False) == NOTHING
    flag.wake()
    flag.wake()
    assert waiter.wait(SOON_S, for_upstream=False) == Wake(flag=True)
    assert waiter.wait(0, for_upstream=True) == NOTHING
    assert not flag.is_set()


def test_a_flag_that_is_set_wakes_and_stays_set(flag: WakeEvent) -> None:
    waiter = Waiter(flag, None)
    flag.set()
    assert waiter.wait(SOON_S, for_upstream=True) == Wake(flag=True)
    assert flag.is_set()
    assert flag.wait(0)


def test_a_wake_from_another_thread_ends_a_wait(flag: WakeEvent) -> None:
    waiter = Waiter(flag, None)
    timer = threading.Timer(0.02, flag.set)
    timer.start()
    began = time.monotonic()
    assert waiter.wait(SOON_S, for_upstream=False).flag
    assert time.monotonic() - began < SOON_S / 2
    timer.join()


def test_a_pipe_that_is_full_wakes_as_well(flag: WakeEvent) -> None:
    for _ in range(9_000):
        flag.wake()
    waiter = Waiter(flag, None)
    assert waiter.wait(0, for_upstream=False) == Wake(flag=True)


def test_clearing_what_was_not_woken_is_harmless(flag: WakeEvent) -> None:
    flag.clear_wake()
    flag.wake()
    flag.clear_wake()
    flag.clear_wake()
    assert Waiter(flag, None).wait(0, for_upstream=False) == NOTHING


def test_a_closed_flag_gives_its_fds_back_and_writes_to_nobody_elses(flag: WakeEvent) -> None:
    fds = {flag._read_fd, flag._write_fd}
    flag.close()
    flag.close()
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    pipes = [os.pipe(), os.pipe()]  # these take the fds over
    try:
        assert fds & {fd for ends in pipes for fd in ends}
        flag.wake()
        flag.set()
        flag.close()
        for read_fd, _ in pipes:
            os.set_blocking(read_fd, False)
            with pytest.raises(BlockingIOError):
                os.read(read_fd, 1)
    finally:
        for ends in pipes:
            for fd in ends:
                os.close(fd)
    assert flag.is_set()


def test_a_flag_closed_among_racing_threads_leaves_no_fd() -> None:
    require_procfs()
    before = open_fds()
    for _ in range(20):
        flag = WakeEvent()
        threads = [threading.Thread(target=act) for act in (flag.set, flag.wake, flag.close, flag.set, flag.close)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert flag.is_set()
    assert open_fds() == before


def test_upstream_data_wakes_only_who_waits_for_it(flag: WakeEvent, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, other = pair
    waiter = Waiter(flag, None)
    waiter.watch(ours.fileno())
    assert waiter.wait(0, for_upstream=True) == NOTHING
    other.send(b"x")
    assert waiter.wait(0, for_upstream=False) == NOTHING
    assert waiter.wait(SOON_S, for_upstream=True) == Wake(upstream=True)
    flag.wake()
    assert waiter.wait(SOON_S, for_upstream=True) == Wake(upstream=True, flag=True)
    waiter.watch(None)
    began = time.monotonic()
    assert waiter.wait(0.02, for_upstream=True) == NOTHING
    assert time.monotonic() - began >= 0.02
    waiter.watch(None)


def test_the_end_of_the_upstream_wakes(flag: WakeEvent, pair: tuple[socket.socket, socket.socket]) -> None:
    waiter = Waiter(flag, None)
    waiter.watch(pair[0].fileno())
    pair[1].close()
    assert waiter.wait(SOON_S, for_upstream=True).upstream


def test_another_upstream_takes_the_place_of_one_that_was_closed(flag: WakeEvent) -> None:
    waiter = Waiter(flag, None)
    for _ in range(3):
        ours, other = socket.socketpair()
        with ours, other:
            waiter.watch(ours.fileno())
            other.send(b"x")
            assert waiter.wait(SOON_S, for_upstream=True) == Wake(upstream=True)
    waiter.watch(None)
    assert waiter.wait(0, for_upstream=True) == NOTHING


@pytest.fixture(params=["POLLRDHUP", "POLLIN"])
def hangup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to learn of a hang-up: Linux's, and that of elsewhere."""
    if request.param == "POLLIN":
        monkeypatch.setattr(wait, "POLLRDHUP", 0)
    elif not wait.POLLRDHUP:
        pytest.skip("select.POLLRDHUP is not there: Linux has it")
    return str(request.param)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("for_upstream", [False, True])
@pytest.mark.parametrize("leaves", ["half-closes", "closes"])
def test_a_client_that_leaves_is_noticed(leaves: str, for_upstream: bool) -> None:
    flag = WakeEvent()
    ours, other = socket.socketpair()
    with ours, other:
        waiter = Waiter(flag, ours)
        assert waiter.wait(0, for_upstream) == NOTHING
        if leaves == "closes":
            other.close()
        else:
            other.shutdown(socket.SHUT_WR)
        assert waiter.wait(SOON_S, for_upstream) == Wake(client_gone=True)
    flag.close()


@pytest.mark.usefixtures("hangup")
def test_a_client_that_resets_the_connection_is_noticed() -> None:
    flag = WakeEvent()
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours:
        waiter = Waiter(flag, ours)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        assert waiter.wait(SOON_S, for_upstream=True) == Wake(client_gone=True)
    flag.close()


def test_pipelined_bytes_are_no_hangup_stay_unread_and_do_not_spin(hangup: str) -> None:
    flag = WakeEvent()
    ours, other = socket.socketpair()
    with ours, other:
        waiter = Waiter(flag, ours)
        other.send(b"GET / HTTP/1.1\r\n")
        assert waiter.wait(0, for_upstream=False) == NOTHING
        for for_upstream in (False, True):  # nothing is left that wakes at once
            began = time.monotonic()
            assert waiter.wait(0.02, for_upstream) == NOTHING
            assert time.monotonic() - began >= 0.02
        if hangup == "POLLRDHUP":  # elsewhere it takes a write to notice from then on
            other.close()
            assert waiter.wait(SOON_S, for_upstream=True) == Wake(client_gone=True)
        assert ours.recv(100) == b"GET / HTTP/1.1\r\n"
    flag.close()


def test_a_wait_lasts_its_time_and_no_less(flag: WakeEvent) -> None:
    waiter = Waiter(flag, None)
    for timeout_s in (0.0101, 0.001):
        began = time.monotonic()
        assert waiter.wait(timeout_s, for_upstream=True) == NOTHING
        assert timeout_s <= time.monotonic() - began < SOON_S
    began = time.monotonic()
    assert waiter.wait(-5, for_upstream=True) == NOTHING
    assert time.monotonic() - began < SOON_S


def test_a_waiter_opens_nothing_of_its_own() -> None:
    require_procfs()
    flag = WakeEvent()
    before = open_fds()
    waiter = Waiter(flag, None)
    waiter.wait(0, for_upstream=True)
    assert open_fds() == before
    assert Path(f"/proc/self/fd/{flag.fileno()}").exists()
    flag.close()
