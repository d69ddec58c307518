"""Only clients that keep a thread waiting are shed where threads are few, oldest first."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from clawgate.errors import Busy
from clawgate.sockets import Clients, ReadDeadlines

Pair = tuple[socket.socket, socket.socket]
TICK_S = 0.05
"""The deadlines' thread ends within it once a test is over."""


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """The gateway's side and the client's of some connections."""
    made = [socket.socketpair() for _ in range(4)]
    yield made
    for pair in made:
        for side in pair:
            side.close()


def fill(server: socket.socket) -> None:
    """Write until the kernel takes no more."""
    server.setblocking(False)
    try:
        while server.send(b"x" * 65536):
            pass
    except BlockingIOError:
        pass


def is_cut(client: socket.socket) -> bool:
    """Tell whether the gateway's side was shut."""
    client.setblocking(False)
    try:
        while client.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    return True


def test_the_oldest_answers_that_nobody_reads_go_first(pairs: list[Pair]) -> None:
    clients = Clients()
    for server, _ in pairs:
        clients.enter(server)
        fill(server)
    assert clients.shed(2) == 2
    assert [is_cut(client) for _, client in pairs] == [True, True, False, False]


def test_no_more_are_shed_while_those_that_were_have_yet_to_leave(pairs: list[Pair]) -> None:
    clients = Clients()
    for server, _ in pairs:
        clients.enter(server)
        fill(server)
    assert [clients.shed(2), clients.shed(2), clients.shed(3)] == [2, 0, 1]
    clients.leave(pairs[0][0])
    assert clients.shed(3) == 1


def test_an_answer_in_flight_is_left_alone_until_it_ends(pairs: list[Pair]) -> None:
    clients = Clients()
    is_in_flight = True
    server, client = pairs[0]
    clients.enter(server)
    clients.protect(server, lambda: is_in_flight)
    fill(server)
    assert clients.shed(9) == 0
    is_in_flight = False
    assert clients.shed(9) == 1
    assert is_cut(client)


def test_a_request_at_work_is_left_alone(pairs: list[Pair]) -> None:
    clients = Clients()
    for server, _ in pairs:
        clients.enter(server)
    assert clients.shed(9) == 0
    assert not any(is_cut(client) for _, client in pairs)


def test_a_body_that_does_not_come_ends_and_its_client_can_be_answered(pairs: list[Pair]) -> None:
    clients = Clients(ReadDeadlines(tick_s=0.01))
    (silent, asked), (sending, _), *_ = pairs
    for server in (silent, sending):
        clients.enter(server)
        clients.reads.begin(server)
    pairs[1][1].send(b"{")
    assert clients.shed(9) == 1
    assert silent.recv(10) == b""
    silent.sendall(b"told")
    assert asked.recv(10) == b"told"
    assert sending.recv(10) == b"{"
    told = [clients.reads.end(server) for server in (silent, sending)]
    assert isinstance(told[0], Busy), "its client may try again"
    assert told[1] is None
    for server in (silent, sending):
        clients.leave(server)
    assert len(clients) == 0


def test_a_request_that_is_whole_is_never_taken_for_one_that_is_waited_for(pairs: list[Pair]) -> None:
    """Its thread may have read it without going on yet, which looks the same from outside."""
    clients = Clients(ReadDeadlines(tick_s=TICK_S))
    server, client = pairs[0]
    clients.enter(server, is_whole=True)
    with clients.reading(server):
        assert clients.shed(9) == 0
    assert clients.leave(server)
    assert not is_cut(client)


def test_a_body_that_was_given_up_is_busy_whatever_had_come(pairs: list[Pair]) -> None:
    clients = Clients(ReadDeadlines(tick_s=TICK_S))
    server = pairs[0][0]
    clients.enter(server)
    with pytest.raises(Busy, match="try again"), clients.reading(server):
        assert clients.shed(9) == 1
    assert not clients.leave(server), "its connection can serve no other request"


def test_a_client_has_its_time_where_threads_are_few_but_nobody_waits(pairs: list[Pair]) -> None:
    clients = Clients(ReadDeadlines(tick_s=TICK_S))
    for server, _ in pairs[:2]:
        clients.enter(server)
    clients.reads.begin(pairs[0][0])
    fill(pairs[1][0])
    assert clients.shed(9, patience_s=60) == 0
    assert clients.shed(9, patience_s=0) == 2
    clients.reads.end(pairs[0][0])


def test_a_client_that_lingers_is_not_waited_for(pairs: list[Pair]) -> None:
    clients = Clients()
    server = pairs[0][0]
    clients.enter(server)
    clients.linger(server)
    assert clients.shed(9) == 1
    assert server.recv(10) == b""


def test_a_socket_that_was_closed_meanwhile_is_passed_over(pairs: list[Pair]) -> None:
    clients = Clients()
    server = pairs[0][0]
    clients.enter(server)
    server.close()
    assert clients.shed(9) == 0
    clients.leave(server)


def test_clients_that_nobody_entered_are_nobodys_business(pairs: list[Pair]) -> None:
    """Another server than ours enters no socket."""
    clients = Clients()
    server = pairs[0][0]
    clients.protect(server, lambda: True)
    clients.linger(server)
    assert (len(clients), clients.shed(9)) == (0, 0)
    clients.enter(server)
    assert clients.shed(9) == 0, "it was kept as one that lingers"


def test_nothing_goes_out_plain_once_a_client_of_tls_is_shed(pairs: list[Pair]) -> None:
    """SSLSocket's own shutdown ends its encryption, and the refusal would follow as it is."""
    server, client = pairs[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    clients = Clients()
    with context.wrap_socket(server, server_side=True, do_handshake_on_connect=False) as secured:
        clients.enter(secured)
        clients.linger(secured)
        assert clients.shed(9) == 1
        with pytest.raises(OSError):  # noqa: PT011 - OpenSSL has an error of its own for each way to end
            secured.sendall(b"told")
    assert client.recv(10) != b"told"
