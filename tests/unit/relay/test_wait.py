"""The one wait of a pump: the events that end it, those that do not, and the fds."""

from __future__ import annotations

import gc
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate.relay import wait
from clawgate.relay.wait import Waiter, WakeEvent
from tests.support.tools import require_procfs

SOON_S = 10.0
"""Longer than any wait that an event ends."""


@pytest.fixture(params=["eventfd", "pipe"])
def wake_event(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WakeEvent]:
    """A wake_event on each kind of fd."""
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("os.eventfd is not there: Python 3.10 on Linux has it")
    wake_event = WakeEvent()
    yield wake_event
    wake_event.release()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the other."""
    ours, other = socket.socketpair()
    with ours, other:
        yield ours, other


def open_fds() -> set[str]:
    """The fds of this process, without those that only garbage of other tests holds."""
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


def watching(wake_event: WakeEvent, client: socket.socket) -> Waiter:
    """A waiter that watches a client."""
    waiter = Waiter(wake_event)
    waiter.watch_client(client)
    return waiter


def assert_wakes(waiter: Waiter, *, for_upstream: bool, client_gone: bool = False) -> None:
    """Assert that something ends a wait long before its time is over."""
    began = time.monotonic()
    assert waiter.wait(SOON_S, for_upstream) is client_gone
    assert time.monotonic() - began < SOON_S / 2


def assert_sleeps(waiter: Waiter, *, for_upstream: bool) -> None:
    """Assert that nothing ends a wait before its time is over."""
    began = time.monotonic()
    assert not waiter.wait(0.01, for_upstream)
    assert time.monotonic() - began >= 0.01


def test_a_wake_event_wakes_once_for_each_wake_and_stays_unset(wake_event: WakeEvent) -> None:
    waiter = Waiter(wake_event)
    assert_sleeps(waiter, for_upstream=False)
    wake_event.wake()
    wake_event.wake()
    assert_wakes(waiter, for_upstream=False)
    assert_sleeps(waiter, for_upstream=True)
    assert not wake_event.is_set()


def test_a_wake_event_that_is_set_wakes_and_stays_set(wake_event: WakeEvent) -> None:
    waiter = Waiter(wake_event)
    wake_event.set()
    assert_wakes(waiter, for_upstream=True)
    assert wake_event.is_set()
    assert wake_event.wait(0)


def test_a_wake_from_another_thread_ends_a_wait(wake_event: WakeEvent) -> None:
    waiter = Waiter(wake_event)
    timer = threading.Timer(0.02, wake_event.set)
    timer.start()
    began = time.monotonic()
    assert not waiter.wait(SOON_S, for_upstream=False)
    assert time.monotonic() - began < SOON_S / 2
    timer.join()


def test_a_pipe_that_is_full_wakes_as_well(wake_event: WakeEvent) -> None:
    for _ in range(9_000):
        wake_event.wake()
    waiter = Waiter(wake_event)
    assert_wakes(waiter, for_upstream=False)


def test_clearing_what_was_not_woken_is_harmless(wake_event: WakeEvent) -> None:
    wake_event.clear_wake()
    wake_event.wake()
    wake_event.clear_wake()
    wake_event.clear_wake()
    assert_sleeps(Waiter(wake_event), for_upstream=False)


def test_a_closed_wake_event_gives_its_fds_back_and_writes_to_nobody_elses(wake_event: WakeEvent) -> None:
    fds = {wake_event._read_fd, wake_event._write_fd}
    wake_event.release()
    wake_event.release()
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    pipes = [os.pipe(), os.pipe()]  # these take the fds over
    try:
        assert fds & {fd for ends in pipes for fd in ends}
        wake_event.wake()
        wake_event.set()
        wake_event.release()
        for read_fd, _ in pipes:
            os.set_blocking(read_fd, False)
            with pytest.raises(BlockingIOError):
                os.read(read_fd, 1)
    finally:
        for ends in pipes:
            for fd in ends:
                os.close(fd)
    assert wake_event.is_set()


def test_a_wake_event_closed_among_racing_threads_leaves_no_fd() -> None:
    require_procfs()
    before = open_fds()
    for _ in range(20):
        wake_event = WakeEvent()
        threads = [
            threading.Thread(target=act)
            for act in (wake_event.set, wake_event.wake, wake_event.release, wake_event.set, wake_event.release)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wake_event.is_set()
    assert open_fds() == before


def test_upstream_data_wakes_only_who_waits_for_it(
    wake_event: WakeEvent, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, other = pair
    waiter = Waiter(wake_event)
    waiter.watch(ours.fileno())
    assert_sleeps(waiter, for_upstream=True)
    other.send(b"x")
    assert_sleeps(waiter, for_upstream=False)
    assert_wakes(waiter, for_upstream=True)
    wake_event.wake()
    assert_wakes(waiter, for_upstream=True)
    assert_sleeps(waiter, for_upstream=False)
    waiter.watch(None)
    began = time.monotonic()
    assert not waiter.wait(0.02, for_upstream=True)
    assert time.monotonic() - began >= 0.02
    waiter.watch(None)


def test_the_end_of_the_upstream_wakes(wake_event: WakeEvent, pair: tuple[socket.socket, socket.socket]) -> None:
    waiter = Waiter(wake_event)
    waiter.watch(pair[0].fileno())
    pair[1].close()
    assert_wakes(waiter, for_upstream=True)


def test_another_upstream_takes_the_place_of_one_that_was_closed(wake_event: WakeEvent) -> None:
    waiter = Waiter(wake_event)
    for _ in range(3):
        ours, other = socket.socketpair()
        with ours, other:
            waiter.watch(ours.fileno())
            other.send(b"x")
            assert_wakes(waiter, for_upstream=True)
    waiter.watch(None)
    assert_sleeps(waiter, for_upstream=True)


@pytest.fixture(params=["POLLRDHUP", "POLLIN"])
def hangup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to learn of a hang-up: Linux's, and that of other systems."""
    if request.param == "POLLIN":
        monkeypatch.setattr(wait, "POLLRDHUP", 0)
    elif not wait.POLLRDHUP:
        pytest.skip("select.POLLRDHUP is not there: Linux has it")
    return str(request.param)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize("for_upstream", [False, True])
@pytest.mark.parametrize("leaves", ["half-closes", "closes"])
def test_a_client_that_leaves_is_noticed(leaves: str, for_upstream: bool) -> None:
    wake_event = WakeEvent()
    ours, other = socket.socketpair()
    with ours, other:
        waiter = watching(wake_event, ours)
        assert_sleeps(waiter, for_upstream=for_upstream)
        if leaves == "closes":
            other.close()
        else:
            other.shutdown(socket.SHUT_WR)
        assert_wakes(waiter, for_upstream=for_upstream, client_gone=True)
    wake_event.release()


@pytest.mark.usefixtures("hangup")
def test_a_client_that_resets_the_connection_is_noticed() -> None:
    wake_event = WakeEvent()
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours:
        waiter = watching(wake_event, ours)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        assert_wakes(waiter, for_upstream=True, client_gone=True)
    wake_event.release()


def test_pipelined_bytes_are_no_hangup_stay_unread_and_do_not_spin(hangup: str) -> None:
    wake_event = WakeEvent()
    ours, other = socket.socketpair()
    with ours, other:
        waiter = watching(wake_event, ours)
        other.send(b"GET / HTTP/1.1\r\n")
        assert not waiter.wait(0, for_upstream=False)
        for for_upstream in (False, True):  # nothing is left that wakes at once
            began = time.monotonic()
            assert not waiter.wait(0.02, for_upstream)
            assert time.monotonic() - began >= 0.02
        if hangup == "POLLRDHUP":  # elsewhere it takes a write to notice from then on
            other.close()
            assert_wakes(waiter, for_upstream=True, client_gone=True)
        assert ours.recv(100) == b"GET / HTTP/1.1\r\n"
    wake_event.release()


@pytest.mark.usefixtures("hangup")
def test_a_client_that_is_no_longer_watched_wakes_nothing(wake_event: WakeEvent) -> None:
    ours, other = socket.socketpair()
    with ours, other:
        waiter = watching(wake_event, ours)
        other.close()
        waiter.watch_client(None)
        for for_upstream in (False, True):
            assert_sleeps(waiter, for_upstream=for_upstream)
    later, other = socket.socketpair()
    with later, other:
        waiter.watch_client(later)
        assert_sleeps(waiter, for_upstream=False)
        other.close()
        assert_wakes(waiter, for_upstream=True, client_gone=True)


def test_a_wait_without_end_lasts_until_it_is_woken(wake_event: WakeEvent) -> None:
    timer = threading.Timer(0.02, wake_event.wake)
    began = time.monotonic()
    timer.start()
    assert not Waiter(wake_event).wait(math.inf, for_upstream=True)
    assert 0.02 <= time.monotonic() - began < SOON_S
    timer.join()


def test_a_wait_lasts_its_time_and_no_less(wake_event: WakeEvent) -> None:
    waiter = Waiter(wake_event)
    for timeout_s in (0.0101, 0.001):
        began = time.monotonic()
        assert not waiter.wait(timeout_s, for_upstream=True)
        assert timeout_s <= time.monotonic() - began < SOON_S
    began = time.monotonic()
    assert not waiter.wait(-5, for_upstream=True)
    assert time.monotonic() - began < SOON_S


def test_a_waiter_opens_nothing_of_its_own() -> None:
    require_procfs()
    wake_event = WakeEvent()
    before = open_fds()
    waiter = Waiter(wake_event)
    waiter.wait(0, for_upstream=True)
    assert open_fds() == before
    assert Path(f"/proc/self/fd/{wake_event.fileno()}").exists()
    wake_event.release()
