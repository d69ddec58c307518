"""The exchange amid requests and urllib3: it has the socket at once, waits for nothing, uses no connection twice."""

from __future__ import annotations

import inspect
import select
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from requests import Response
from urllib3.connectionpool import HTTPConnectionPool

from clawgate.ollama import client as client_module
from clawgate.ollama import exchange as exchange_module
from clawgate.ollama.capture import RequestSent
from clawgate.ollama.client import AT_ONCE_BYTES, OllamaClient
from clawgate.ollama.exchange import MAX_ERROR_BYTES, RECV_BYTES, Exchange
from clawgate.ollama.failures import refusal_of
from tests.support.tools import DEADLINE_S

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of loopback's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(DEADLINE_S)
        yield listening


def client_of(listener: socket.socket) -> OllamaClient:
    """A client of this port's."""
    return OllamaClient(f"http://127.0.0.1:{listener.getsockname()[1]}")


def chat_of(listener: socket.socket, size: int = 1) -> Exchange:
    """An exchange with this port."""
    return client_of(listener).chat({"model": "m", "messages": [{"role": "user", "content": "x" * size}]})


def advance(exchange: Exchange) -> None:
    """Do what the pump does when the socket has something."""
    await_something(exchange)
    exchange.advance()


def await_something(exchange: Exchange) -> None:
    """Wait until something can be read."""
    descriptor = exchange.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], DEADLINE_S)[0]


def test_a_short_request_is_out_without_a_thread_and_its_answer_is_not_waited_for(listener: socket.socket) -> None:
    exchange = chat_of(listener)
    threads = threading.active_count()
    exchange.start(lambda: pytest.fail("no thread sends it"))
    assert exchange.fileno() is not None
    assert threading.active_count() == threads
    with listener.accept()[0] as ollama:
        assert ollama.recv(1 << 16).startswith(b"POST /api/chat HTTP/1.1\r\n")
        exchange.advance()
        assert (exchange.is_open, exchange.failure) == (False, None)
        for cut in range(len(ANSWER)):
            ollama.sendall(ANSWER[cut : cut + 1])
            advance(exchange)
            assert exchange.failure is None
            if exchange.is_open:
                break
        assert ANSWER[: cut + 1].endswith(b"\r\n\r\n")
        ollama.sendall(b"{}")
        await_something(exchange)
        assert exchange.read() == b"{}"
        assert exchange.is_whole
    exchange.release()


def test_a_refusal_that_comes_in_pieces_is_waited_for(listener: socket.socket) -> None:
    exchange = chat_of(listener)
    exchange.start(lambda: None)
    assert exchange.fileno() is not None
    with listener.accept()[0] as ollama:
        ollama.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 17\r\n\r\n")
        advance(exchange)
        assert (exchange.is_open, exchange.failure) == (False, None)
        ollama.sendall(b'{"error":"no VRA')
        advance(exchange)
        assert exchange.failure is None
        ollama.sendall(b'M"}')
        advance(exchange)
    assert exchange.failure is not None
    assert exchange.failure.error.message.startswith("Ollama answered with status 500")
    exchange.release()


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
def test_a_connection_that_ends_before_the_head_was_dropped(listener: socket.socket, beginning: bytes) -> None:
    exchange = chat_of(listener)
    exchange.start(lambda: None)
    with listener.accept()[0] as ollama:
        ollama.recv(1 << 16)
        ollama.sendall(beginning)
    while not exchange.is_at_end:
        advance(exchange)
    assert exchange.failure is not None
    assert (exchange.failure.error.message, exchange.failure.is_retryable) == ("Ollama dropped the connection", True)
    exchange.release()


def test_a_refusal_without_end_is_not_waited_for(listener: socket.socket) -> None:
    exchange = chat_of(listener)
    exchange.start(lambda: None)
    with listener.accept()[0] as ollama:
        ollama.sendall(b"HTTP/1.1 500 X\r\n\r\n" + b"x" * MAX_ERROR_BYTES)
        for _ in range(100):
            if exchange.failure is None:
                advance(exchange)
    assert exchange.failure is not None
    exchange.release()


def test_one_read_takes_no_more_than_its_share(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Ollama that sends faster than it is read must not keep the pump in one read."""
    monkeypatch.setattr(exchange_module, "MAX_READ_BYTES", RECV_BYTES)
    exchange = chat_of(listener)
    exchange.start(lambda: None)
    with listener.accept()[0] as ollama:
        ollama.recv(1 << 16)
        ollama.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5 * RECV_BYTES)
    sizes = []
    while not exchange.is_at_end:
        advance(exchange)
        sizes.append(len(exchange.read()))
    assert max(sizes) <= RECV_BYTES
    assert sum(sizes) == 5 * RECV_BYTES
    exchange.release()


def test_a_long_request_is_sent_by_a_thread(listener: socket.socket) -> None:
    exchange = chat_of(listener, AT_ONCE_BYTES)
    is_told = threading.Event()
    exchange.start(is_told.set)
    with listener.accept()[0] as ollama:
        assert is_told.wait(DEADLINE_S)
        ollama.sendall(ANSWER)
        advance(exchange)
        assert exchange.is_open
        exchange.release()


def test_a_template_is_asked_for_by_a_thread(listener: socket.socket) -> None:
    """Its answer is waited for, and the pump has heartbeats and interrupts to see to."""
    exchange = client_of(listener).chat({"model": "m", "messages": []}, is_going_on=True)
    is_told = threading.Event()
    exchange.start(is_told.set)
    with listener.accept()[0] as ollama:
        assert ollama.recv(1 << 16).startswith(b"POST /api/show HTTP/1.1\r\n")
        assert not is_told.is_set()
        exchange.close()
    assert is_told.wait(DEADLINE_S)
    exchange.release()


def test_a_name_is_looked_up_by_a_thread(listener: socket.socket) -> None:
    client = OllamaClient(f"http://localhost:{listener.getsockname()[1]}")
    client.note_load("m", 0)
    exchange = client.chat({"model": "m", "messages": []})
    is_told = threading.Event()
    exchange.start(is_told.set)
    assert is_told.wait(DEADLINE_S)
    while (may_end_at := exchange.release()) is not None:
        time.sleep(max(may_end_at - time.monotonic(), 0))


def test_a_port_that_accepts_nothing_is_waited_for_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.5)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        exchange = chat_of(full)
        is_told = threading.Event()
        exchange.start(is_told.set)
        assert exchange.fileno() is None
        exchange.release()
        assert not is_told.is_set()
    assert is_told.wait(DEADLINE_S)
    assert (exchange.is_open, exchange.failure) == (False, None)


@pytest.mark.parametrize("floor_s", [0.0, 3600.0])
def test_a_socket_that_comes_after_the_release_is_closed_when_it_may_be(floor_s: float) -> None:
    """A helper thread may send the last byte just when the pump lets the exchange go."""
    ours, theirs = socket.socketpair()

    def post(_: bytes) -> Response:
        exchange.on_connected(ours)
        exchange.on_last_byte()
        exchange.release()
        raise RequestSent

    exchange = Exchange(post, b"{}", partial(refusal_of, ""), is_quick=True, floor_s=floor_s)
    with ours, theirs:
        exchange.start(lambda: None)
        assert (ours.fileno() == -1, exchange.failure) == (floor_s == 0, None)
        exchange._floor_s = 0.0  # the time has passed
        assert exchange.close() is None
        assert ours.fileno() == -1


def test_the_time_to_stay_open_counts_from_when_the_last_byte_has_left() -> None:
    """The thread that sends it may have waited for the interpreter since it asked whether it may."""
    ours, theirs = socket.socketpair()

    def post(_: bytes) -> Response:
        exchange.on_connected(ours)
        exchange.on_last_byte()
        exchange._whole_at -= 60  # it waited for a minute
        raise RequestSent

    exchange = Exchange(post, b"{}", partial(refusal_of, ""), is_quick=True, floor_s=30)
    with ours, theirs:
        exchange.start(lambda: None)
        may_end_at = exchange.close()
        assert may_end_at is not None
        assert may_end_at > time.monotonic()


def test_no_connection_is_used_twice_though_the_server_would_keep_it(listener: socket.socket) -> None:
    """Contract with urllib3: it keeps a connection by `_put_conn` alone, which SingleUseAdapter's pools override."""
    served = threading.Thread(target=_answer_twice, args=(listener,), daemon=True)
    served.start()
    client = client_of(listener)
    assert [client.ask("/api/version", DEADLINE_S) for _ in range(2)] == [{}, {}], REREAD
    served.join(DEADLINE_S)
    assert not served.is_alive(), REREAD
    assert list(inspect.signature(HTTPConnectionPool._put_conn).parameters) == ["self", "conn"], REREAD


REREAD = (
    "urllib3 keeps connections in another way now: re-read HTTPConnectionPool._put_conn and who calls it "
    "(urllib3/connectionpool.py, urllib3/response.py), then clawgate.ollama.capture._HTTPPool"
)


def _answer_twice(listener: socket.socket) -> None:
    """Answer two connections, each once, and see each closed."""
    for _ in range(2):
        with listener.accept()[0] as connection:
            connection.settimeout(DEADLINE_S)
            connection.recv(1 << 16)
            connection.sendall(ANSWER)
            assert connection.recv(1) == b""
