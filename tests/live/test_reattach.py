"""An answer is read on through the shipped nginx, by real clients, and by nobody at all."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.scale import scaled
from tests.http.asking import DETACHED, cut_at, follow, opening, session
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import LISTEN, Nginx
from tests.support.ollama import ScriptedOllama, done, every, hang, text, wait
from tests.support.proc import resources_of
from tests.support.sse import Event, end_of, text_of
from tests.support.tools import DEADLINE_S, require, require_package, require_procfs, wait_for

HERE = Path(__file__).parent
WORDS = [f"词{index} " for index in range(200)]
CUTS = scaled(250, 1000)
READERS = 6
DETACHED_RUNS = 200
MAX_THREADS = 150
"""The worker's pool has some 45 to 75 by then; with a thread of each run there were 200 more."""
MAX_GROWTH_BYTES = 12 << 20
"""So much a process may keep: freed memory that the allocator has not given back, and some replays of a few words."""


@pytest.fixture
def front(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> Callable[..., tuple[Gateway, Nginx]]:
    """Start a gateway whose answers wait for their readers, and nginx before it."""

    def start(**stream: object) -> tuple[Gateway, Nginx]:
        started = gateway(stream={"smoothing_ms": 0, "detach_seconds": 60, "stall_seconds": 60, **stream})
        return started, nginx(started)

    return start


def test_each_event_is_a_place_to_go_on_from_through_nginx(
    front: Callable[..., tuple[Gateway, Nginx]], ollama: ScriptedOllama
) -> None:
    ollama.script(every(0.002, len(WORDS), lambda index: text(WORDS[index])), done())
    _, nginx = front()
    with StreamClient(nginx.base_url, opening("s-each", **DETACHED)) as stream:
        stream.read_all()
    events = [event for event in stream.events if not event.is_ping]
    assert text_of(events) == "".join(WORDS)
    for number, event in enumerate(events[:-1]):
        with follow(nginx, "s-each", event.id) as again:
            again.read_all()
        assert [each.raw for each in again.events] == [each.raw for each in events[number + 1 :]]


def test_random_cuts_are_healed_through_nginx(
    front: Callable[..., tuple[Gateway, Nginx]], ollama: ScriptedOllama
) -> None:
    """At random bytes, while the answer is made: the asker's connection, and those that read on (CHAOS=long: 1,000)."""
    ollama.default(every(0.002, len(WORDS), lambda index: text(WORDS[index])), done())
    _, nginx = front()
    cuts = 0

    def read(session_id: str, seed: int) -> list[list[Event]]:
        chance = random.Random(f"{session_id} {seed}")
        parts: list[list[Event]] = []
        while not (parts and parts[-1] and parts[-1][-1].is_end):
            last = next((part[-1].id for part in reversed(parts) if part), None)
            if not parts and not seed:
                stream = StreamClient(nginx.base_url, opening(session_id, **DETACHED))
            else:
                stream = follow(nginx, session_id, last)
            with stream:
                parts.append(cut_at(stream, chance.randrange(1, 6000)))
        return parts

    with ThreadPoolExecutor(READERS) as pool:
        while cuts < CUTS:
            session_id = f"s-{len(ollama.chats)}"
            first = pool.submit(read, session_id, 0)
            ollama.next_request()
            for reading in (first, *[pool.submit(read, session_id, seed) for seed in range(1, READERS)]):
                parts = reading.result()
                events = [event for part in parts for event in part]
                ids = [event.id for event in events]
                assert text_of(events) == "".join(WORDS)
                assert len(ids) == len(set(ids))
                assert end_of(events)["done_reason"] == "stop"
                cuts += len(parts) - 1


def test_a_reload_of_nginx_loses_nothing(front: Callable[..., tuple[Gateway, Nginx]], ollama: ScriptedOllama) -> None:
    """Its old workers go on with their connections; a restart cuts them."""
    go = threading.Event()
    ollama.script(text("one "), wait(go), text("two"), done())
    gateway, nginx = front()
    with StreamClient(nginx.base_url, opening("s-reload", **DETACHED)) as stream:
        stream.read_text("one ")
        nginx.signal(signal.SIGHUP)
        nginx.stop(signal.SIGTERM)
        stream.read_all()
        assert not any(event.is_end for event in stream.events)
    assert session(gateway, "s-reload")["streaming"] is True
    with follow(gateway, "s-reload", stream.events[-1].id) as again:
        go.set()
        again.read_all()
    assert text_of([*stream.events, *again.events]) == "one two"
    assert len(ollama.chats) == 1


@pytest.mark.parametrize("library", ["fetch-event-source", "eventsource", "EventSource"])
def test_clients_that_connect_again_by_themselves_make_one_run(
    front: Callable[..., tuple[Gateway, Nginx]], ollama: ScriptedOllama, library: str, tmp_path: Path
) -> None:
    """The first connection is cut in the middle; then the client is left alone until it has come back after the end."""
    node = require("node", "the clients are JavaScript libraries")
    packages = [require_package(name) for name in ("@microsoft/fetch-event-source", "eventsource")]
    go = threading.Event()
    ollama.script(text("one "), wait(go), text("two"), done())
    gateway, nginx = front()
    with subprocess.Popen(
        [node, HERE / "reconnecting.mjs", library, nginx.base_url, "s-lib", *packages],
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            seen = iter(child.stdout)
            assert next(line for line in seen if "one" in line)
            nginx.signal(signal.SIGTERM)
            nginx.wait()
            wait_for(lambda: session(gateway, "s-lib")["streaming"], "it goes on")
            with ExitStack() as stack:
                listen = {LISTEN: f"listen 127.0.0.1:{nginx.port}"}
                (folder := tmp_path / "again").mkdir()
                stack.enter_context(Nginx(f"127.0.0.1:{gateway.port}", folder, replace=listen, port=nginx.port))
                go.set()
                result = json.loads(next(line for line in seen if line.startswith("{")))
        finally:
            child.kill()
    assert result == {"text": "one two", "ends": 1}
    assert len(ollama.chats) == 1
    assert [message["content"] for message in session(gateway, "s-lib")["messages"]] == ["hi", "one two"]


def test_two_hundred_that_nobody_comes_back_to_leave_nothing(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require_procfs()
    started = gateway(
        stream={"smoothing_ms": 0, "detach_seconds": 1.0, "stall_seconds": 600, "heartbeat_seconds": 600},
        server={"max_streams": DETACHED_RUNS},
    )
    ollama.default(text("one "), hang())

    def leave(number: int) -> None:
        with StreamClient(started.base_url, opening(f"s-{number % 20}-{number}", **DETACHED)) as stream:
            stream.read_text("one ")

    def round_() -> None:
        before = len(ollama.chats)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(leave, range(DETACHED_RUNS)))
        for chat in ollama.chats[before:]:
            assert chat.closed.wait(DEADLINE_S), "its connection is still open"
        wait_for(lambda: started.streams == 0, "nothing is in flight")

    def threads() -> int:
        return resources_of(started.worker_pid)["threads"]

    round_()
    wait_for(lambda: threads() < MAX_THREADS, "the runs' own threads have ended")
    before = resources_of(started.worker_pid)
    round_()
    wait_for(lambda: threads() < MAX_THREADS, "the runs' own threads have ended")
    after = resources_of(started.worker_pid)
    assert after["fds"] <= before["fds"] + 2
    assert after["rss_bytes"] - before["rss_bytes"] < MAX_GROWTH_BYTES
