"""Calls that pass through: Ollama's own word comes back, a slot is held meanwhile, and nothing is left behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from clawgate.errors import Busy, ClawgateError, ShuttingDown, UpstreamRefused
from clawgate.ollama import exchange
from clawgate.ollama.client import OllamaClient
from clawgate.relay import passage
from clawgate.relay.closings import Closings
from clawgate.relay.passage import ClientLeft, Passages
from clawgate.relay.roster import Roster
from clawgate.relay.slots import OwnSlots
from tests.support.ollama import ScriptedOllama, chunk, drop, hang, headers, notify, raw, status
from tests.support.tools import DEADLINE_S, free_port

EMBED = "/api/embed"
BODY = b'{"model":"qwen3:32b","input":"a"}'


class Place:
    """Passages to one Ollama, with the roster that counts them."""

    def __init__(self, endpoint: str, patience_s: float = DEADLINE_S, max_streams: int = 2) -> None:
        self.roster = Roster(OwnSlots(max_streams))
        client = OllamaClient(endpoint)
        self.passages = Passages(self.roster, Closings(), lambda: client, lambda: patience_s)

    def call(self, client: socket.socket | None = None, kept: ExitStack | None = None) -> bytes:
        """Ask for embeddings."""
        return self.passages.call(EMBED, BODY, "qwen3:32b", kept or ExitStack(), client)


@pytest.fixture
def place(ollama: ScriptedOllama) -> Iterator[Place]:
    """Passages, whose slots are all given back at the end."""
    there = Place(ollama.base_url)
    yield there
    assert there.roster.streams == 0


@pytest.fixture
def aside() -> Iterator[Callable[[Callable[[], bytes]], Future[bytes]]]:
    """Calls a function on a thread of its own."""
    with ThreadPoolExecutor(2) as pool:
        yield pool.submit


Aside = Callable[[Callable[[], bytes]], "Future[bytes]"]


def test_a_short_document_comes_as_ollama_sends_it(place: Place, ollama: ScriptedOllama) -> None:
    ollama.script(status(200, b'{"models": [ ]}\n'), path="/api/tags")
    assert place.passages.fetch("/api/tags", request_id="r1") == (200, b'{"models": [ ]}\n')
    asked = ollama.next_request(path="/api/tags")
    assert (asked.method, asked.headers["X-Request-Id"], asked.body) == ("GET", "r1", b"")


def test_a_refusal_of_ollamas_is_a_document_too(place: Place, ollama: ScriptedOllama) -> None:
    fetched = place.passages.fetch("/api/show", b'{"model":"x"}')
    assert (fetched.status, fetched.body) == (404, b'{"error":"model \'x\' not found"}')
    assert ollama.next_request(path="/api/show").json == {"model": "x"}


@pytest.mark.parametrize("answer", [status(200, b"<html>"), status(502, b"bad gateway"), status(404, b"404 page")])
def test_what_is_no_document_is_an_error(place: Place, ollama: ScriptedOllama, answer: object) -> None:
    ollama.script(answer, path="/api/tags")  # type: ignore[arg-type]
    with pytest.raises(ClawgateError):
        place.passages.fetch("/api/tags")


def test_a_long_call_brings_its_document_in_pieces(place: Place, ollama: ScriptedOllama) -> None:
    ollama.script(headers(), chunk(b'{"embed'), chunk(b'dings":[]}'), raw(b"0\r\n\r\n"), hang(), path=EMBED)
    assert place.call() == b'{"embeddings":[]}'
    asked = ollama.next_request(path=EMBED)
    assert asked.body == BODY
    assert asked.closed.wait(DEADLINE_S)


def test_a_refused_call_is_ollamas_error_with_its_words(place: Place, ollama: ScriptedOllama) -> None:
    ollama.script(status(400, {"error": "this model does not support embeddings"}), path=EMBED)
    with pytest.raises(UpstreamRefused, match="this model does not support embeddings") as refused:
        place.call()
    assert refused.value.upstream_status == 400


def test_a_document_that_is_cut_is_none(place: Place, ollama: ScriptedOllama) -> None:
    ollama.script(headers(), chunk(b'{"embed'), drop(), path=EMBED)
    with pytest.raises(ClawgateError) as cut:
        place.call()
    assert cut.value.code == "upstream_unreachable"


def test_an_ollama_that_is_away_is_an_error_at_once() -> None:
    there = Place(f"http://127.0.0.1:{free_port()}")
    asks: list[Callable[[], bytes]] = [there.call, lambda: there.passages.fetch("/api/tags").body]
    for ask in asks:
        with pytest.raises(ClawgateError) as away:
            ask()
        assert (away.value.code, there.roster.streams) == ("upstream_unreachable", 0)


def test_a_document_that_does_not_end_is_given_up(
    place: Place, ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage, "MAX_CALL_BYTES", 1 << 10)
    ollama.script(headers(), chunk(b"[" * 2000), hang(), path=EMBED)
    with pytest.raises(ClawgateError, match="longer than"):
        place.call()


def test_a_long_document_has_a_place_until_its_client_has_it(
    ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage, "LONG_BYTES", 1 << 10)
    monkeypatch.setattr(passage, "MAX_LONG", 1)
    there = Place(ollama.base_url)
    ollama.script(status(200, b"[1]"), path=EMBED)
    for _ in range(3):
        ollama.script(status(200, b"[%b]" % (b"1," * 1000 + b"1")), path=EMBED)
    with ExitStack() as kept:
        there.call(kept=kept)  # a short one needs none
        assert len(there.call(kept=kept)) > 1 << 10
        with pytest.raises(Busy, match="long documents"):
            there.call()
    assert there.call()
    assert there.roster.streams == 0


def test_a_call_that_takes_too_long_is_given_up(ollama: ScriptedOllama) -> None:
    ollama.script(hang(), path=EMBED)
    there = Place(ollama.base_url, patience_s=0.05)
    with pytest.raises(ClawgateError) as late:
        there.call()
    assert (late.value.code, there.roster.streams) == ("upstream_timeout", 0)
    assert ollama.next_request(path=EMBED).closed.wait(DEADLINE_S)


def test_a_client_that_leaves_ends_its_call(place: Place, ollama: ScriptedOllama, aside: Aside) -> None:
    ollama.script(hang(), path=EMBED)
    ours, theirs = socket.socketpair()
    with ours:
        call = aside(lambda: place.call(ours))
        asked = ollama.next_request(path=EMBED)
        theirs.close()
        with pytest.raises(ClientLeft):
            call.result(DEADLINE_S)
    assert asked.closed.wait(DEADLINE_S)


def test_a_call_counts_as_a_stream_and_is_refused_where_all_are_taken(ollama: ScriptedOllama, aside: Aside) -> None:
    has_come = threading.Event()
    ollama.script(notify(has_come), hang(), path=EMBED)
    there = Place(ollama.base_url, max_streams=1)
    call = aside(there.call)
    assert has_come.wait(DEADLINE_S)
    assert there.roster.streams == 1
    asks: list[Callable[[], bytes]] = [there.call, lambda: there.passages.fetch("/api/tags").body]
    for ask in asks:
        with pytest.raises(Busy):
            ask()
    there.passages.end_all()
    with pytest.raises(ShuttingDown):
        call.result(DEADLINE_S)
    assert there.roster.wait_until_empty(DEADLINE_S)
    with pytest.raises(ShuttingDown):
        there.call()


def test_where_no_fd_is_left_a_call_is_busy(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fd() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(passage, "WakeEvent", no_fd)
    with pytest.raises(Busy, match="Too many open files"):
        place.call()


def test_an_answer_whose_end_came_together_with_its_head_is_whole(
    place: Place, ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over TLS, where all that has come is read at once."""
    is_over, wait = threading.Event(), passage._wait

    def wait_for_all(*given: Any) -> None:
        assert is_over.wait(DEADLINE_S)
        wait(*given)

    monkeypatch.setattr(exchange, "RECV_BYTES", 1)
    monkeypatch.setattr(passage, "_wait", wait_for_all)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    ollama.script(raw(head + b"{}"), drop(), notify(is_over), path=EMBED)
    assert place.call() == b"{}"
