"""A look at a connection finds what is there, and the poll fires when there is more to see."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from clawgate.server.connection import Arrival, Connection

HEAD = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
REQUEST = HEAD + b"\r\nbody"
READ_S = 60.0


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """The client's side of `conn`."""
    with socket.socket() as sock:
        yield sock


@pytest.fixture
def conn(client: socket.socket) -> Iterator[Connection]:
    """A connection that was just accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client.connect(listener.getsockname())
        sock, address = listener.accept()
        with sock:
            yield Connection(sock, address, listener.getsockname(), is_tls=False)


def fires(conn: Connection) -> bool:
    """Tell whether a poll would return for this connection."""
    return bool(select.select([conn.sock], [], [], 0.05)[0])


def said(conn: Connection, client: socket.socket, data: bytes) -> Arrival:
    """Say something, wait until it is there, and look."""
    before = conn.sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT) if conn.has_begun else b""
    client.sendall(data)
    while True:
        try:
            if len(conn.sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)) >= len(before) + len(data):
                return conn.look(READ_S)
        except BlockingIOError:
            pass


def test_nothing_is_no_request_yet(conn: Connection) -> None:
    assert conn.look(READ_S) == Arrival.PART
    assert not conn.has_begun


def test_a_request_is_whole_once_all_of_it_is_there(conn: Connection, client: socket.socket) -> None:
    assert said(conn, client, REQUEST) == Arrival.REQUEST
    assert conn.is_whole
    assert conn.sock.recv(1 << 16) == REQUEST, "a look takes nothing"


def test_of_a_part_the_poll_waits_for_more(conn: Connection, client: socket.socket) -> None:
    assert said(conn, client, HEAD) == Arrival.PART
    assert conn.has_begun
    assert conn.closes_at == pytest.approx(time.monotonic() + READ_S, abs=10)
    assert not fires(conn)
    assert said(conn, client, b"\r\nbo") == Arrival.PART
    assert not fires(conn)
    closes_at = conn.closes_at
    assert said(conn, client, b"dy") == Arrival.REQUEST
    assert (conn.is_whole, conn.has_begun, conn.closes_at) == (True, False, closes_at)


def test_a_drip_does_not_put_the_close_off(conn: Connection, client: socket.socket) -> None:
    said(conn, client, b"P")
    closes_at = conn.closes_at
    for byte in b"OST":
        assert said(conn, client, bytes([byte])) == Arrival.PART
    assert conn.closes_at == closes_at


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_between_requests_is_the_end(conn: Connection, client: socket.socket, how: str) -> None:
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert fires(conn)
    assert conn.look(READ_S) == Arrival.END


def test_half_a_request_and_its_end_are_for_a_thread(conn: Connection, client: socket.socket) -> None:
    assert said(conn, client, HEAD) == Arrival.PART
    client.shutdown(socket.SHUT_WR)
    assert fires(conn)
    assert conn.look(READ_S) == Arrival.REQUEST
    assert not conn.is_whole


def test_what_is_not_waited_for_reads_as_its_end(conn: Connection, client: socket.socket) -> None:
    assert said(conn, client, HEAD) == Arrival.PART
    conn.take_as_it_is()
    assert conn.sock.recv(1 << 16) == HEAD
    assert conn.sock.recv(1 << 16) == b""


def test_through_a_unix_socket_each_byte_is_for_a_thread() -> None:
    """Its poll fires for each byte, so that the loop would spin while half a request is there."""
    here, there = socket.socketpair()
    with here, there:
        conn = Connection(here, "", "", is_tls=False)
        assert conn.look(READ_S) == Arrival.PART
        there.sendall(b"P")
        assert conn.look(READ_S) == Arrival.REQUEST
        assert not conn.is_whole
