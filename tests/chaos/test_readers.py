"""Readers that read nothing or a byte at a time, and silent connections, hold up no other client."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.chaos.scale import long_only, scaled
from tests.chaos.test_frames import MB
from tests.http.asking import ask, finish, flood, opening, reason, session, streams_of, wait_until_steady
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, done, every, text, texts
from tests.support.sse import text_of
from tests.support.tools import DEADLINE_S, require_procfs, wait_for

PATIENT = {"smoothing_ms": 10, "stall_seconds": 600}
SEND_TIMEOUT_S = scaled(1, 15)
HURRIED = (
    sys.executable,
    "-c",
    "import sys; from clawgate import sockets; from clawgate.cli import main; "
    f"sockets.SEND_TIMEOUT_S = {SEND_TIMEOUT_S}; sys.exit(main())",
    "serve",
)
"""The gateway with less time for a write; `make chaos` gives it the real 15 s."""
STUCK = 20
THREADS = 8 + 16
"""`server.max_streams` and the reserve."""
SILENT = 500
STRANGER = "127.0.0.2"
"""The address of the silent clients: nginx limits how many requests one address may begin."""


def stuck(gateway: Gateway, session_id: str) -> StreamClient:
    """Ask, and read nothing."""
    return gateway.stream(opening(session_id, "flood"), receive_buffer_bytes=4096)


@pytest.mark.deadline(180)
def test_readers_that_read_nothing_slow_nobody_hold_little_and_are_left(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require_procfs()
    started = gateway(command=HURRIED, stream=PATIENT, server={"max_streams": 2 * STUCK})
    ollama.default(text("a"), every(0.02, 20, lambda _: text("b")), done())
    ask(started, "hi")
    baseline = started.baseline()
    with ExitStack() as stack:
        for number in range(STUCK):
            ollama.script(flood("多" * 1000))
            stack.enter_context(stuck(started, f"s-stuck-{number}"))
            ollama.next_request()
        sent = wait_until_steady(lambda: sum(len(request.sent) for request in ollama.chats))
        held = started.resources()
        began_at = time.monotonic()
        events = ask(started, "hi")
        took_s = time.monotonic() - began_at
        assert text_of(events) == "a" + "b" * 20
        assert took_s < STUCK, "they slow another"
        print(f"{STUCK} readers, {sent / MB:.1f} MB sent, {held}, baseline {baseline}, another answer {took_s:.2f} s")
        assert held["rss_bytes"] - baseline["rss_bytes"] < STUCK * MB + 24 * MB, "a stuck reader holds memory"
        wait_for(lambda: streams_of(started) == 0, "they are left", SEND_TIMEOUT_S * 4 + DEADLINE_S)
        for request in ollama.chats:
            if request.messages[-1]["content"] == "flood":  # the others are whole: Ollama has closed those itself
                assert request.closed.wait(DEADLINE_S)
        began_at = time.monotonic()
        assert reason(ask(started, "hi")) == "stop"
        assert time.monotonic() - began_at < STUCK, "the server waits 2 s for each of them to close"
        assert session(started, "s-stuck-0")["messages"][-1]["interrupted"] is True
    started.wait_until_resources_settle(baseline)


def test_a_reader_of_a_byte_at_a_time_has_it_all(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    """A slower reader would see the same: the kernel's buffers hold the answer until it is read."""
    words = "Slowly, slowly. "
    started = gateway(stream={**PATIENT, "heartbeat_seconds": 3600})
    ollama.script(texts(*words), done())
    with started.stream("hi", receive_buffer_bytes=4096) as slow:
        wait_for(lambda: streams_of(started) == 0, "the gateway is done with it")
        ollama.script(text("b"), done())
        assert text_of(ask(started, "hi")) == "b"
        data = b""
        while not data.endswith(b"\r\n0\r\n\r\n"):
            piece = slow.sock.recv(1)
            assert piece, f"closed too early: {data!r}"
            data += piece
    assert b'"done_reason":"stop"' in data
    assert data.count(b'"done":true') == 1


@long_only
@pytest.mark.deadline(120)
def test_a_slow_reader_of_much_is_left_and_its_text_kept(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway(command=HURRIED, stream=PATIENT)
    ollama.script(flood("多" * 1000))
    is_over = threading.Event()
    with stuck(started, "s-slow") as slow:

        def read() -> None:
            slow.sock.settimeout(DEADLINE_S)
            try:
                while not is_over.wait(0.05) and slow.sock.recv(1):
                    pass
            except OSError:
                pass

        reader = threading.Thread(target=read)
        reader.start()
        try:
            wait_for(lambda: streams_of(started) == 0, "it is left", SEND_TIMEOUT_S * 4 + DEADLINE_S)
        finally:
            is_over.set()
            reader.join()
    answer = session(started, "s-slow")["messages"][-1]
    assert answer["interrupted"] is True
    assert len(answer["content"]) > 1000


@contextmanager
def silent(port: int, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that say nothing, or next to nothing."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            address = ("127.0.0.1", port)
            sock = stack.enter_context(socket.create_connection(address, DEADLINE_S, source_address=(STRANGER, 0)))
            sock.sendall(first)
            connections.append(sock)
        yield connections


@pytest.mark.parametrize(
    "first", [b"", b"P", b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"], ids=repr
)
def test_500_connections_that_say_nothing_are_nothing_behind_nginx(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama, first: bytes
) -> None:
    started = gateway(server={"max_streams": 8})
    front = nginx(started)
    ollama.default(text("a"), done())
    with silent(front.port, SILENT, first):
        for _ in range(3):
            with StreamClient(front.base_url, {"message": "hi"}) as stream:
                events = finish(stream)
            assert (text_of(events), reason(events)) == ("a", "stop")
        assert started.get("/healthz").status == 200


def test_500_connections_that_say_nothing_are_nothing_on_the_private_port(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """A twentieth of them would hold every thread, if a connection had one before it says something."""
    started = gateway(server={"max_streams": 8})
    ollama.default(text("a"), done())
    baseline = started.baseline()
    with silent(started.port, SILENT):
        began_at = time.monotonic()
        for _ in range(3):
            assert reason(ask(started, "hi")) == "stop"
        assert started.get("/healthz").status == 200
        assert time.monotonic() - began_at < SILENT / THREADS
    started.wait_until_resources_settle(baseline)
