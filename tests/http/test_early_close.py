"""A connection to Ollama is not cut before Ollama has handed out a runner, and nobody waits for that."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from clawgate.errors import UpstreamUnreachable
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.exchange import Exchange
from tests.http.asking import ask, configured, finish, interrupt, opening, reason, session
from tests.http.test_supersede import is_hung_up
from tests.support.answer import Answer
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, call, done, hang, text
from tests.support.tools import DEADLINE_S, wait_for

PROMPT_BYTES = 2 << 20
"""A size that the reader's system does not take in while the reader is idle, and the sender's does at once."""
FLOOR_S = 0.4
"""The time for which an exchange is held here; its answers showed a little less."""
LOAD_S = 0.094
"""The time that a real Ollama took with a model whose vocabulary is qwen3's: a request cut earlier leaked."""
COUNT = 30
ONE = configured(stream={"smoothing_ms": 0}, server={"max_streams": 2 * COUNT})


# --- one exchange ---------------------------------------------------------------------------------------------------


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

    def say(self, data: bytes) -> None:
        """Send something."""
        self._connection.sendall(data)

    @property
    def is_closed(self) -> bool:
        """True once the exchange has closed; it says nothing more before."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def reset(self) -> None:
        """Close with something unread, as a killed process does: the system resets the connection."""
        self._connection.close()


@contextmanager
def asked(size: int, floor_s: float = FLOOR_S) -> Iterator[tuple[Exchange, Reader, threading.Event]]:
    """Yield an exchange that sends a prompt to a slow reader, and the event that is set at its outcome."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        listener.settimeout(DEADLINE_S)
        client = OllamaClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        exchange = client.chat({"model": "m", "messages": [{"role": "user", "content": "x" * size}]})
        exchange._floor_s = floor_s
        is_told = threading.Event()
        exchange.start(is_told.set)
        if exchange.fileno() is not None:
            is_told.set()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(DEADLINE_S)
            yield exchange, Reader(connection), is_told
            while (may_end_at := exchange.release()) is not None:
                time.sleep(may_end_at - time.monotonic())
            assert is_told.wait(DEADLINE_S)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 500 X\r\n\r\n", b""], ids=repr)
def test_an_answer_that_has_begun_is_closed_at_once(answer: bytes) -> None:
    """The head comes with the first frame or with a refusal, and then there is a runner, or none is wanted."""
    with asked(1, floor_s=3600) as (exchange, reader, _):
        reader.read()
        if answer:
            reader.say(answer)
        else:
            reader.reset()
        descriptor = exchange.fileno()
        assert descriptor is not None
        assert select.select([descriptor], [], [], DEADLINE_S)[0]
        given_up: list[bool] = []
        exchange._on_given_up = lambda: given_up.append(True)
        exchange.advance()
        assert exchange.close() is None
        assert not answer or reader.is_closed
        assert given_up == [], "Ollama evaluates nothing any more"


def test_a_prompt_that_is_still_being_read_never_becomes_whole() -> None:
    """Ollama decodes none of the request, so nothing can leak and nothing is waited for."""
    with asked(PROMPT_BYTES, floor_s=3600) as (exchange, reader, is_told):
        assert exchange.close() is None
        assert is_told.wait(DEADLINE_S)
        assert exchange.failure is None
        reader.read()
        assert not reader.is_whole


@pytest.mark.parametrize("size", [10, PROMPT_BYTES])
def test_the_time_to_stay_open_counts_from_when_a_prompt_can_have_been_read(size: int) -> None:
    with asked(size) as (exchange, reader, is_told):
        time.sleep(FLOOR_S * (size == PROMPT_BYTES))  # the sender's system took it in long ago
        reader.read()
        assert reader.is_whole
        read_at = time.monotonic()
        assert is_told.wait(DEADLINE_S)
        may_end_at = exchange.close()
        assert may_end_at is not None
        assert may_end_at - read_at > FLOOR_S / 2
        assert not reader.is_closed
        assert exchange.close() == may_end_at, "again is harmless"
        time.sleep(may_end_at - time.monotonic())
        assert exchange.close() is None
        wait_for(lambda: reader.is_closed, "it is closed in its time")


def test_the_question_whether_a_template_can_go_on_is_closed_at_once(ollama: ScriptedOllama) -> None:
    """It needs no runner."""
    ollama.script(hang(), path="/api/show")
    exchange = OllamaClient(ollama.base_url).chat({"model": "qwen3:32b", "messages": []}, is_going_on=True)
    is_told = threading.Event()
    exchange.start(is_told.set)
    question = ollama.next_request(path="/api/show")
    assert exchange.release() is None
    assert question.closed.wait(DEADLINE_S)
    assert is_told.wait(DEADLINE_S)


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


# --- the gateway, in front of an Ollama that leaks ------------------------------------------------------------------


def teach(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Let an answer show the time that this Ollama takes; it leaks what is cut earlier."""
    upstream.script(text("a"), done(load_duration=int(LOAD_S * 1e9)))
    assert reason(ask(gate, opening("s-teach"))) == "stop"
    upstream.next_request()
    upstream.load_s = LOAD_S
    upstream.default(hang())


def assert_none_leaked(upstream: ScriptedOllama, count: int = COUNT) -> None:
    """Assert that all were asked, all were closed, and none of them too early."""
    cut = upstream.chats[1:]
    assert len(cut) >= count
    assert all(chat.closed.wait(DEADLINE_S) for chat in cut)
    assert upstream.leaked == []


@ONE
def test_interrupts_are_answered_at_once_and_leak_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    teach(gate, upstream)
    took_s = []
    for number in range(COUNT):
        with gate.stream(opening(f"s-{number}")) as stream:
            upstream.next_request()
            began_at = time.monotonic()
            assert interrupt(gate, f"s-{number}")["interrupted"] is True
            took_s.append(time.monotonic() - began_at)
            assert session(gate, f"s-{number}")["streaming"] is False
            assert reason(finish(stream)) == "interrupted"
            took_s.append(time.monotonic() - began_at)
    assert sorted(took_s)[COUNT] < LOAD_S, f"the median of answers and ends, while the closes wait longer: {took_s}"
    assert_none_leaked(upstream)


@ONE
def test_leavers_leak_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    teach(gate, upstream)
    for number in range(COUNT):
        with gate.stream(opening(f"s-{number}")):
            upstream.next_request()
    wait_for(lambda: gate.streams == 0, "their threads and slots are free")
    assert_none_leaked(upstream)


@ONE
def test_deleted_sessions_leak_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    teach(gate, upstream)
    for number in range(COUNT):
        with gate.stream(opening(f"s-{number}")) as stream:
            upstream.next_request()
            assert gate.delete(f"/api/sessions/s-{number}").status == 204
            assert reason(finish(stream)) == "interrupted"
    assert_none_leaked(upstream)


@ONE
@pytest.mark.parametrize("ends", ["superseded", "interrupted", "deleted"])
def test_the_next_question_comes_after_the_close_and_nothing_leaks(
    gate: Gateway, upstream: ScriptedOllama, ends: str
) -> None:
    teach(gate, upstream)
    asked: dict[str, Answer] = {}
    overlaps: list[str] = []

    def play(answer: Answer) -> None:
        words, number = answer.request.messages[-1]["content"].split()
        asked[f"{words} {number}"] = answer
        if words == "new" and not is_hung_up(asked[f"old {number}"]):
            overlaps.append(number)
        answer.hang()

    upstream.default(call(play))

    def cut(number: int) -> None:
        name = f"s-{number}"
        with ExitStack() as stack:
            old = stack.enter_context(gate.stream(opening(name, f"old {number}")))
            wait_for(lambda: f"old {number}" in asked, "the first question arrives")
            if ends == "interrupted":
                interrupt(gate, name)
                finish(old)  # its run is forgotten, but its connection is still open
            elif ends == "deleted":
                gate.delete(f"/api/sessions/{name}")
            new = stack.enter_context(gate.stream(opening(name, f"new {number}")))
            assert new.status == 200
            wait_for(lambda: f"new {number}" in asked, "the second question arrives")
            if ends != "interrupted":
                assert reason(finish(old)) == ("superseded" if ends == "superseded" else "interrupted")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(cut, range(COUNT)))
    assert_none_leaked(upstream, 2 * COUNT)
    assert overlaps == []


@configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 0.05})
@pytest.mark.parametrize("leave", ["interrupt", "close", "supersede"])
def test_a_question_that_waits_for_the_close_has_heartbeats_and_can_be_ended(
    gate: Gateway, upstream: ScriptedOllama, leave: str
) -> None:
    """Nothing is known of this model yet, so its first connection stays open for half a second."""
    upstream.default(hang())
    with gate.stream(opening("s-wait", "first")) as first:
        upstream.next_request()
        with gate.stream(opening("s-wait", "second")) as second:
            second.read_until(lambda event: event.is_ping)
            assert len(upstream.chats) == 1, "it waits"
            if leave == "interrupt":
                assert interrupt(gate, "s-wait")["interrupted"] is True
                assert reason(finish(second)) == "interrupted"
            elif leave == "supersede":
                with gate.stream(opening("s-wait", "third")):
                    assert upstream.next_request().messages[-1]["content"] == "third"
                assert reason(finish(second)) == "superseded"
        assert reason(finish(first)) == "superseded"
    assert upstream.chats[0].closed.wait(DEADLINE_S)
    wait_for(lambda: gate.streams == 0, "nothing is in flight")
    assert [chat.messages[-1]["content"] for chat in upstream.chats][1:] == ["third"] * (leave == "supersede")


@pytest.mark.parametrize("leave", ["left before", "drained"])
def test_the_end_of_the_process_leaks_nothing(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, leave: str
) -> None:
    """Nothing is known of this model yet, so the last closes wait for half a second; the process ends sooner else."""
    gate = gateway(server={"max_streams": 2 * COUNT, "graceful_seconds": 0})
    ollama.load_s = 0.4
    ollama.default(hang())
    with ExitStack() as stack:
        streams = [stack.enter_context(gate.stream(opening(f"s-{number}"))) for number in range(COUNT)]
        wait_for(lambda: len(ollama.chats) == COUNT, "all are asked")
        if leave == "left before":
            stack.close()
        gate.terminate()
        if leave == "drained":
            assert [reason(finish(stream)) for stream in streams] == ["interrupted"] * COUNT
    assert all(chat.closed.wait(DEADLINE_S) for chat in ollama.chats)
    assert ollama.leaked == []
