"""A connection to Ollama is not closed within 40 ms of a request that Ollama can have read."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from clawgate.errors import UpstreamUnreachable
from clawgate.ollama import exchange as exchange_module
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.exchange import Exchange
from tests.support.ollama import ScriptedOllama, hang, text, wait
from tests.support.tools import DEADLINE_S, wait_for

PROMPT_BYTES = 2 << 20
"""A size that the reader's system does not take in while the reader is idle, and the sender's does at once."""
MIN_OPEN_S = 0.6
"""The time instead of 40 ms, so that a loaded machine cannot be mistaken for an early close."""


@pytest.fixture(autouse=True)
def _long_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MIN_OPEN_S", MIN_OPEN_S)


class Reader:
    """An Ollama that reads the first bytes of a request, and the rest on demand."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        head, _, rest = connection.recv(1 << 12).partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        self._left = int(length) - len(rest)

    @property
    def is_whole(self) -> bool:
        """True once all of the request was read."""
        return self._left == 0

    def read(self) -> None:
        """Read until the request is whole, or the connection is closed."""
        while self._left and (data := self._connection.recv(min(self._left, 1 << 16))):
            self._left -= len(data)

    def await_close(self) -> float:
        """Return the moment of the close."""
        assert self._connection.recv(1) == b""
        return time.monotonic()

    def reset(self) -> None:
        """Close with something unread, as a killed process does: the system resets the connection."""
        self._connection.close()


@contextmanager
def asked(size: int) -> Iterator[tuple[Exchange, Reader, threading.Event]]:
    """Yield an exchange that sends a prompt to a slow reader, and the event that is set at its outcome."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        listener.settimeout(DEADLINE_S)
        client = OllamaClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        exchange = client.chat({"model": "m", "messages": [{"role": "user", "content": "x" * size}]})
        is_told = threading.Event()
        exchange.start(is_told.set)
        if exchange.fileno() is not None:
            is_told.set()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE_S)
            yield exchange, Reader(connection), is_told
            exchange.release()
            assert is_told.wait(DEADLINE_S)


def test_a_complete_answer_is_closed_at_once() -> None:
    with asked(1) as (exchange, reader, _):
        reader.read()
        exchange.mark_complete()
        began = time.monotonic()
        exchange.close()
        assert reader.await_close() - began < MIN_OPEN_S / 2


def test_a_prompt_that_is_still_being_read_never_becomes_whole() -> None:
    """Ollama decodes none of the request, so nothing can leak and nothing is waited for."""
    with asked(PROMPT_BYTES) as (exchange, reader, is_told):
        exchange.close()
        assert is_told.wait(DEADLINE_S)
        assert exchange.failure is None
        reader.read()
        assert not reader.is_whole


@pytest.mark.parametrize("size", [10, PROMPT_BYTES])
def test_the_time_to_stay_open_counts_from_when_a_prompt_can_have_been_read(size: int) -> None:
    with asked(size) as (exchange, reader, _):
        time.sleep(MIN_OPEN_S * (size == PROMPT_BYTES))  # the sender's system took it in long ago
        reader.read()
        assert reader.is_whole
        read_at = time.monotonic()
        exchange.close()
        assert reader.await_close() - read_at > MIN_OPEN_S / 2


def test_an_ollama_that_dies_while_it_reads_is_noticed() -> None:
    with asked(PROMPT_BYTES) as (exchange, reader, is_told):
        started_at = time.monotonic()
        reader.reset()
        assert is_told.wait(DEADLINE_S)
        exchange.advance()
        assert exchange.failure is not None
        assert isinstance(exchange.failure.error, UpstreamUnreachable)
        assert exchange.failure.is_retryable
        assert time.monotonic() - started_at < 4, "not at the end of the 5 s that sending may take"


def test_an_answer_that_begins_during_the_close_is_not_cut_before_its_time(ollama: ScriptedOllama) -> None:
    released = threading.Event()
    ollama.script(wait(released), text("a"), hang())
    exchange = OllamaClient(ollama.base_url).chat(
        {"model": "qwen3:32b", "messages": [{"role": "user", "content": "q"}]}
    )
    exchange.start(lambda: None)
    request = ollama.next_request()
    with in_background(exchange.close):
        wait_for(lambda: exchange._is_closing, "the close has begun")
        released.set()
    assert request.closed.wait(DEADLINE_S)
    assert request.closed_at is not None
    assert request.closed_at - request.arrived > MIN_OPEN_S / 2
    exchange.release()


@contextmanager
def in_background(act: Callable[[], None]) -> Iterator[None]:
    """Do something on another thread inside."""
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
