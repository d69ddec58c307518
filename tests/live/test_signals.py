"""The end of a gateway: every answer gets its proper end within the promised time, and a kill shows as one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.tools import wait_for

GRACE_S = 4
SAFETY_NET_S = 10
"""gunicorn waits so long beyond the grace before it kills a worker: an end that needs it has gone wrong."""
PROMPTLY_S = 8.0
PATIENT = {"stall_seconds": 600, "first_frame_seconds": 600}


@contextmanager
def streaming(gateway: Gateway, count: int) -> Iterator[list[StreamClient]]:
    """Open streams one after the other, each read up to its first text."""
    with ExitStack() as stack:
        streams = []
        for number in range(count):
            streams.append(stack.enter_context(gateway.stream(f"Question {number}")))
            streams[-1].read_until(lambda event: event.is_text)
        yield streams


def assert_ended(stream: StreamClient, reason: str, words: str) -> None:
    """Assert that a stream came to its proper end with this reason and these words."""
    stream.read_all()
    sse.check(stream.events)
    assert stream.complete, "the terminating chunk is missing"
    assert sse.end_of(stream.events)["done_reason"] == reason
    assert sse.text_of(stream.events) == words


def test_sigterm_lets_answers_finish_and_then_ends_the_rest(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    released = threading.Event()
    started = gateway(server={"graceful_seconds": GRACE_S}, stream=PATIENT)
    for _ in range(25):
        ollama.script(text("Half"), wait(released), text(" and whole"), done())
    ollama.default(text("Half"), hang())
    with streaming(started, 50) as streams:
        began_at = time.monotonic()
        started.signal(signal.SIGTERM)
        ready = wait_for(lambda: is_draining(started), "the gateway says that it is not ready")
        assert ready == {"status": "unavailable", "reason": "shutting_down"}
        for body in ({"message": "Me too"}, {"message": "Me too", "stream": False}):
            refused = started.post("/api/chat", body)
            assert (refused.status, refused.json["error"]["code"]) == (503, "shutting_down")
        assert started.get("/healthz").status == 200
        released.set()
        for stream in streams[:25]:
            assert_ended(stream, "stop", "Half and whole")
        for stream in streams[25:]:
            assert_ended(stream, "interrupted", "Half")
        assert time.monotonic() - began_at > GRACE_S * 0.9, "the rest got less than the grace"
        assert started.wait() == 0
        assert time.monotonic() - began_at < GRACE_S + PROMPTLY_S < GRACE_S + SAFETY_NET_S
    assert ollama.open_connections == 0


def is_draining(gateway: Gateway) -> dict[str, str] | None:
    """Return what /readyz says once it refuses."""
    reply = gateway.get("/readyz")
    return reply.json if reply.status == 503 else None


@pytest.mark.parametrize("to_all", [False, True], ids=["the master", "Ctrl-C in a terminal"])
def test_sigint_ends_every_answer_at_once(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, to_all: bool
) -> None:
    ollama.default(text("Half"), hang())
    started = gateway(server={"graceful_seconds": 600}, stream=PATIENT)
    with streaming(started, 5) as streams, started.stream("Nothing said yet") as silent:
        silent.read_event()
        (os.killpg if to_all else os.kill)(started.pid, signal.SIGINT)
        for stream in streams:
            assert_ended(stream, "interrupted", "Half")
        assert sse.end_of([*silent.events, *silent.read_all()])["done_reason"] == "interrupted"
        assert silent.complete
    assert started.wait() == 0
    assert "Traceback" not in started.log


def test_sigint_cuts_the_patience_of_a_sigterm_short(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    ollama.default(text("Half"), hang())
    started = gateway(server={"graceful_seconds": 600}, stream=PATIENT)
    with streaming(started, 2) as streams:
        os.killpg(started.pid, signal.SIGTERM)
        wait_for(lambda: is_draining(started), "the gateway says that it is not ready")
        os.killpg(started.pid, signal.SIGINT)
        for stream in streams:
            assert_ended(stream, "interrupted", "Half")
    assert started.wait() == 0


@pytest.mark.parametrize("to_all", [False, True], ids=["the master", "a service manager's to all"])
def test_second_sigterm_does_no_harm(gateway: Callable[..., Gateway], ollama: ScriptedOllama, to_all: bool) -> None:
    released = threading.Event()
    ollama.default(text("Half"), wait(released), text(" and whole"), done())
    started = gateway(server={"graceful_seconds": 60}, stream=PATIENT)
    terminate = os.killpg if to_all else os.kill
    with streaming(started, 3) as streams:
        terminate(started.pid, signal.SIGTERM)
        wait_for(lambda: is_draining(started), "the gateway says that it is not ready")
        terminate(started.pid, signal.SIGTERM)
        assert started.post("/api/chat", {"message": "Me too"}).json["error"]["code"] == "shutting_down"
        released.set()
        for stream in streams:
            assert_ended(stream, "stop", "Half and whole")
    assert started.wait() == 0
    assert "Traceback" not in started.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_gateway_ends_at_once(gateway: Callable[..., Gateway], number: int) -> None:
    started = gateway(server={"graceful_seconds": 60})
    with socket.create_connection(("127.0.0.1", started.port)) as idle:  # kept alive, as nginx keeps it
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
        began_at = time.monotonic()
        started.signal(number)
        assert started.wait() == 0
        assert time.monotonic() - began_at < PROMPTLY_S
    with pytest.raises(OSError, match="refused"):
        client.get(started.base_url, "/healthz")


def test_killed_worker_is_replaced_and_its_answers_show_it(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    for _ in range(3):
        ollama.script(text("Half"), hang())
    started = gateway(stream=PATIENT)
    with streaming(started, 3) as streams:
        started.kill_worker()
        for stream, request in zip(streams, ollama.chats, strict=True):
            assert not any(event.is_end for event in stream.read_all())
            assert stream.was_closed
            assert not stream.complete, "a cut answer looks like a whole one"
            assert request.closed.wait(5), "the model goes on for a dead worker"
    with started.stream("Again") as stream:
        assert_ended(stream, "stop", "Hello.")
    assert started.stdout == [f"Server started on :{started.port}\n"]
    assert started.terminate() == 0


def test_who_connects_while_the_worker_ends_is_refused_at_once(gateway: Callable[..., Gateway]) -> None:
    """A connection that says nothing keeps the worker for a moment more."""
    started = gateway()
    with socket.create_connection(("127.0.0.1", started.port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
        started.signal(signal.SIGTERM)
        wait_for(lambda: is_refused(started), "the port is closed", deadline_s=0.7)
        assert started.worker_pids, "the worker had ended"
    assert started.wait() == 0


def is_refused(started: Gateway) -> bool:
    """Tell whether nobody listens any more."""
    try:
        socket.create_connection(("127.0.0.1", started.port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_clients_that_are_waited_for_do_not_delay_the_end(gateway: Callable[..., Gateway], number: int) -> None:
    """Each client holds a thread: with half a body, half a next request, or answers that it does not read."""
    asked = b"GET /api/chat HTTP/1.1\r\nHost: localhost\r\n"
    long_answer = asked.replace(b"/api/chat", b"/openapi.json") + b"\r\n"
    held = (asked + b"Content-Length: 9\r\n\r\n{", asked + b"\r\n" + asked, asked + b"\r\n" + long_answer * 100)
    started = gateway(server={"graceful_seconds": 600})
    with ExitStack() as stack:
        for said in held:
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", started.port)))
            silent.sendall(said)
        wait_for(lambda: started.log.count("/api/chat") >= 2, "the last two have their threads")
        wait_for(lambda: "/openapi.json" in started.log, "answers are sent that nobody reads")
        started.signal(number)
        assert started.wait(PROMPTLY_S) == 0
    assert "Traceback" not in started.log
