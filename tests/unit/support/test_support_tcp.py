"""The kernel's view of the other end of a connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support import tcp
from tests.support.tools import require_procfs

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a connection."""
    require_procfs()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as here:
        there, _ = listener.accept()
        with there:
            yield here, there


def test_the_other_end_is_open_until_its_process_closes_it(pair: Pair) -> None:
    here, there = pair
    local, remote = there.getsockname(), there.getpeername()
    assert tcp.is_open(local, remote)
    there.shutdown(socket.SHUT_WR)
    assert not tcp.is_open(local, remote)
    assert tcp.is_open(remote, local), "this end is"
    here.close()
    there.close()
    assert not tcp.is_open(local, remote)


def test_the_other_end_is_open_while_only_this_one_is_closed(pair: Pair) -> None:
    here, there = pair
    local, remote = there.getsockname(), there.getpeername()
    here.shutdown(socket.SHUT_WR)
    assert tcp.is_open(local, remote)
