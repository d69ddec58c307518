"""Malformed HTTP, and bodies that do not come: each request is ended and hides no other one."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.http.asking import configured, exchange, read_to_end, streams_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import DEADLINE_S, wait_for

WITHOUT = configured()
HIDDEN = b"DELETE /api/sessions/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
OTHER = b"DELETE /api/sessions/other HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BODY = b'{"message": "hi", "stream": false}'
HEAD = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def connected(gate: Gateway) -> socket.socket:
    """Open a connection and send nothing."""
    return socket.create_connection(("127.0.0.1", gate.port), DEADLINE_S)


def chunked(*chunks: bytes) -> bytes:
    """Return a chat whose chunked body is these bytes."""
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


WRONG = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 0, 5\r\n\r\n",
    "a signed length": HEAD + b"Content-Length: +5\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length in hex": HEAD + b"Content-Length: 0x5\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a hidden coding": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HEAD + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no colon": HEAD + b"X\r\n\r\n",
    "a NUL": HEAD + b"X: \0\r\n\r\n",
    "a bare CR": HEAD + b"X: y\rZ: 1\r\n\r\n",
    "two hosts": HEAD + b"Host: y\r\n\r\n",
    "a size that is none": chunked(b"zz\r\n\r\n0\r\n\r\n"),
    "a signed size": chunked(b"-1\r\nx\r\n0\r\n\r\n"),
    "a size in words": chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk that is longer": chunked(b"1\r\nhello\r\n0\r\n\r\n"),
    "a chunk without end": chunked(b"5\r\nhello0\r\n\r\n"),
    "bare LFs": chunked(b"5\nhello\n0\n\n"),
    "a size of 20 digits": chunked(b"fffffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "a forbidden trailer": chunked(b"0\r\nContent-Length: 5\r\n\r\n"),
    "HTTP/1.0 in chunks": chunked(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/3.0": HEAD.replace(b"HTTP/1.1", b"HTTP/3.0") + b"\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "no words": b"\r\n\r\n\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a space in the address": b"GET /healthz x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long address": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 500 + b"\r\n",
}


@WITHOUT
@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_http_is_refused_and_what_follows_it_is_never_read(
    gate: Gateway, upstream: ScriptedOllama, name: str
) -> None:
    answer = exchange(gate, WRONG[name] + HIDDEN, ends=True)
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    if answer:
        assert int(answer.split(b" ")[1]) in (400, 405, 413, 414, 417, 431, 501, 505), answer
    assert b"gunicorn/" not in answer
    assert b"Traceback" not in answer
    assert "/api/sessions/hidden" not in gate.log, "the hidden request was served"
    assert upstream.asked == []
    assert gate.get("/healthz").status == 200


@WITHOUT
def test_two_proper_requests_on_one_connection_are_two(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A request that follows a proper one is answered, unlike in the test above."""
    wire = chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)) + OTHER
    answer = exchange(gate, wire)
    assert [part.split(b" ")[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404"]
    assert len(upstream.chats) == 1


@WITHOUT
@pytest.mark.parametrize("length", [len(BODY) + 1, 10_000])
def test_a_body_that_breaks_off_is_400(gate: Gateway, upstream: ScriptedOllama, length: int) -> None:
    answer = exchange(gate, HEAD + b"Content-Length: %d\r\n\r\n" % length + BODY, ends=True)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"breaks off" in answer
    assert upstream.asked == []


UNREAD = {
    "little": (b"Content-Length: 5000\r\n\r\n" + b"x" * 5_000, True),
    "much": (b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000, False),
    "in chunks": (b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n", False),
}


@WITHOUT
@pytest.mark.parametrize(("body", "is_kept"), UNREAD.values(), ids=UNREAD)
def test_an_answer_before_the_end_of_a_body_says_whether_the_connection_goes_on(
    gate: Gateway, body: bytes, is_kept: bool
) -> None:
    """A proxy would send its next request on a connection that claims to be kept, and answer 502 for it."""
    head = HEAD.replace(b"/api/chat", b"/api/interrupt")
    answer = exchange(gate, head + body + OTHER)
    statuses = [part.split(b" ")[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
    first = answer.partition(b"\r\n\r\n")[0]
    assert (b"Connection: keep-alive" in first, b"Connection: close" in first) == (is_kept, not is_kept)
    assert statuses == ([b"413", b"404"] if is_kept else [b"413"])


HURRIED = """
import sys
from clawgate import sockets
sockets.ReadDeadlines.__init__.__defaults__ = (1.0, 0.1)
sockets.SEND_TIMEOUT_S = 1
from clawgate.cli import main
sys.exit(main())
"""
"""A gateway that gives a head, a body and a write one second instead of a minute and 15 s."""
THREADS = 1 + 16
"""The threads of one stream and the reserve."""


@pytest.fixture
def hurried(gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway that waits a second for a head or a body, with few threads."""
    return gateway(command=(sys.executable, "-c", HURRIED, "serve"), server={"max_streams": 1})


SLOW = {
    "announced": HEAD + b"Content-Length: 1000\r\n\r\n{",
    "in chunks": chunked(b"1\r\n{\r\n"),
    "in a chunk": chunked(b"ffff\r\n{"),
    "within a size": chunked(b"1\r\n{\r\n1"),
    "render": HEAD.replace(b"/api/chat", b"/render") + b"Content-Length: 1000\r\n\r\n{",
}


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
def test_a_body_that_does_not_come_holds_no_thread_for_ever(
    hurried: Gateway, ollama: ScriptedOllama, drips: bool
) -> None:
    """Every thread waits for a body. Each client is refused after a second, or at once where threads get few."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(hurried)) for _ in range(THREADS)]
        for client, data in zip(clients, round_robin(list(SLOW.values())), strict=False):
            client.sendall(data)
        is_over = threading.Event()
        dripper = threading.Thread(target=drip, args=(clients if drips else [], is_over))
        dripper.start()
        late = 0
        try:
            for client in clients:
                answer = b""
                while not answer.endswith(b"}}\n"):
                    answer += client.recv(65536) or pytest.fail(f"closed after {answer!r}")
                assert int(answer.split()[1]) in (400, 503), answer
                assert b"body: expected all of it" in answer
                late += b"all of it within 1 s" in answer
        finally:
            is_over.set()
            dripper.join()
    assert late > 0
    assert hurried.get("/healthz").status == 200
    assert hurried.post("/api/chat", {"message": "hi", "stream": False}).status == 200
    assert len(ollama.chats) == 1
    assert "Traceback" not in hurried.log


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
@pytest.mark.parametrize("said", [b"G", b"GET /healthz HTTP/1.1\r\nX: "], ids=["a letter", "half a head"])
def test_a_head_that_does_not_come_holds_no_thread_for_ever(hurried: Gateway, drips: bool, said: bytes) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(hurried)) for _ in range(THREADS)]
        for client in clients:
            client.sendall(said)
        is_over = threading.Event()
        dripper = threading.Thread(target=drip, args=(clients if drips else [], is_over))
        dripper.start()
        try:
            for client in clients:
                assert read_to_end(client) == b""
        finally:
            is_over.set()
            dripper.join()
        assert hurried.get("/healthz").status == 200
    assert "Traceback" not in hurried.log


def test_a_kept_connection_has_as_long_for_its_next_head(hurried: Gateway) -> None:
    """An idle connection is not overdue: the time counts from the first byte."""
    with connected(hurried) as sock:
        for _ in range(2):
            sock.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(1.2)
        sock.sendall(b"HEAD /healthz HTTP/1.1\r\n")
        assert read_to_end(sock) == b""


@WITHOUT
def test_clients_that_stay_after_their_last_answer_hold_up_nobody(gate: Gateway) -> None:
    """On the server's main loop, one after the other, they would take 2 s each."""
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(gate)) for _ in range(THREADS)]
        began_at = time.monotonic()
        for client in clients:
            client.sendall(asked)
        for client in clients:
            assert read_to_end(client).startswith(b"HTTP/1.1 200 ")  # its own side stays open
        assert gate.get("/healthz").status == 200
        assert time.monotonic() - began_at < THREADS


def test_answers_that_nobody_reads_hold_no_thread_for_ever(hurried: Gateway) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    with ExitStack() as stack:
        for _ in range(THREADS):
            client = stack.enter_context(connected(hurried))
            client.setblocking(False)
            client.send(asked)
        wait_for(lambda: hurried.get("/healthz").status == 200, "it serves again")
        wait_for(lambda: hurried.resources()["sockets"] < THREADS, "they are left")
    assert "Traceback" not in hurried.log


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nX: "], ids=["silent", "half a head"])
def test_a_connection_that_says_nothing_does_not_hold_up_the_end(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, said: bytes
) -> None:
    started = gateway(server={"graceful_seconds": 2 * DEADLINE_S}, model={"endpoint": ollama.base_url})
    with connected(started) as client:
        client.sendall(said)
        assert started.get("/healthz").status == 200
        began_at = time.monotonic()
        started.stop(signal.SIGTERM)
        assert time.monotonic() - began_at < DEADLINE_S


@WITHOUT
@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "SCRIPT-NAME"])
def test_no_header_moves_the_path(gate: Gateway, name: str) -> None:
    """Some proxies pass on names with underscores, and gunicorn would believe them from a trusted proxy."""
    head = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{name}: /health\r\n\r\n"
    assert exchange(gate, head.encode()).startswith(b"HTTP/1.1 200 ")


def round_robin(values: list[bytes]) -> Iterator[bytes]:
    """Yield the values in turn, for ever."""
    while True:
        yield from values


def drip(clients: list[socket.socket], is_over: threading.Event) -> None:
    """Send a byte on each connection now and then, so that no time-out of the socket itself ever passes."""
    while not is_over.wait(0.2):
        for client in clients:
            try:
                client.sendall(b"1")
            except OSError:
                pass  # the gateway has answered it and closed


def test_a_slow_body_that_comes_in_time_is_taken(hurried: Gateway, ollama: ScriptedOllama) -> None:
    with connected(hurried) as sock:
        sock.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        for byte in BODY:
            sock.sendall(bytes([byte]))
            time.sleep(0.005)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    time.sleep(1.2)  # the deadline passes; no socket is shut down for a body that came
    assert hurried.get("/healthz").status == 200
    assert len(ollama.chats) == 1


@WITHOUT
def test_a_body_that_nobody_reads_ends_with_its_client(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The type refuses the body before it is read, and the rest of it is not taken for a request."""
    refused = HEAD.replace(b"application/json", b"text/plain") + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    answer = exchange(gate, refused, ends=True)
    assert [part.split(b" ")[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"415"]
    assert "/api/sessions/hidden" not in gate.log
    wait_for(lambda: streams_of(gate) == 0, "nothing is in flight")
    assert upstream.chats == []
