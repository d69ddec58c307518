"""Several processes, one Redis: any door serves any session, and what is killed loses a second at the most."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.scale import scaled
from tests.http.asking import DETACHED, opening
from tests.support import client
from tests.support.client import StreamClient
from tests.support.nginx import SEVERAL, Nginx
from tests.support.ollama import ScriptedOllama, done, every, text
from tests.support.redis import RedisServer
from tests.support.several import Several
from tests.support.sse import end_of, text_of
from tests.support.tools import wait_for

CHATS = scaled(100, 1000)
AT_ONCE = 8
FREE_S = 10.0
"""The session of a process that was killed is free by then."""
REDIS_IN_CHAIN = 'data-hop="store" data-state="%s"'


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis on a port, for the module."""
    with RedisServer(tmp_path_factory.mktemp("redis"), is_on_a_port=True) as running:
        yield running


@pytest.fixture(scope="module")
def talker() -> Iterator[ScriptedOllama]:
    """An Ollama whose answers never end by themselves."""
    with ScriptedOllama() as running:
        running.default(every(0.01, 100_000, lambda index: text(f"w{index} ")), done())
        yield running


@pytest.fixture(scope="module")
def pair(redis: RedisServer, talker: ScriptedOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """Two gateways of two workers each."""
    with Several(redis, talker, tmp_path_factory.mktemp("pair"), stream={"detach_seconds": 60}) as running:
        yield running


def begin(several: Several, session_id: str, door: str = "", **fields: Any) -> StreamClient:
    """Ask, and read the first words."""
    stream = several.ask(opening(session_id, **fields), door)
    while not text_of(stream.events):
        assert stream.read_event() is not None
    return stream


def test_a_chat_is_interrupted_at_any_door(pair: Several, nginx: Callable[..., Nginx]) -> None:
    """At a random door of six: two gateways' own, and nginx; CHAOS=long: 1,000 chats."""
    front = nginx(f"127.0.0.1:{pair.gateways[0].port}", shipped=SEVERAL, replace=_second(pair))
    doors = [*pair.doors, front.base_url]
    took: list[float] = []

    def chat(number: int) -> None:
        chance = random.Random(number)
        session_id = f"any-{number}"
        with begin(pair, session_id, chance.choice(doors)) as stream:
            begun_at = time.monotonic()
            reply = pair.interrupt(session_id, chance.choice(doors))
            took.append(time.monotonic() - begun_at)
            stream.read_all()
        assert reply.status == 200, reply.json
        assert reply.json["interrupted"], reply.json
        assert reply.json["partial"] == text_of(stream.events)
        assert end_of(stream.events)["done_reason"] == "interrupted"
        messages = pair.session(session_id, chance.choice(doors)).json["messages"]
        assert (messages[-1]["content"], messages[-1]["interrupted"]) == (reply.json["partial"], True)
        with begin_again(pair, session_id, chance.choice(doors)) as again:
            client.delete(chance.choice(doors), f"/api/sessions/{session_id}")
            again.read_all()
        assert end_of(again.events)["done_reason"] == "interrupted"
        assert pair.session(session_id, chance.choice(doors)).status == 404

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(chat, range(CHATS)))
    took.sort()
    print(f"interrupts: p50 {took[len(took) // 2] * 1000:.1f} ms, p99 {took[int(len(took) * 0.99)] * 1000:.1f} ms")


def is_free(several: Several, session_id: str, door: str) -> bool:
    """Tell whether a session has no answer in flight."""
    return not several.session(session_id, door).json["streaming"]


def is_ready(door: str) -> bool:
    """Tell whether a gateway says that it is ready."""
    return client.get(door, "/readyz").status == 200


def begin_again(several: Several, session_id: str, door: str) -> StreamClient:
    """Go on with an interrupted answer, and read the first words."""
    stream = several.ask({"session_id": session_id, "continue": True}, door)
    while not text_of(stream.events):
        assert stream.read_event() is not None
    return stream


def _second(pair: Several) -> dict[str, str]:
    first, second = (f"127.0.0.1:{gateway.port}" for gateway in pair.gateways)
    everybody = {"rate=20r/s": "rate=1000r/s"}  # the chats of all come from one address
    return everybody | {"127.0.0.1:18789 clawgate_not_first": f"{first} clawgate_not_first", "127.0.0.1:18790": second}


def test_a_reader_comes_back_at_any_door(pair: Several) -> None:
    chance = random.Random(7)
    with begin(pair, "back", **DETACHED) as stream:
        pass
    seen = text_of(stream.events)
    for _ in range(6):
        with StreamClient(
            pair.any_door(chance),
            None,
            path="/api/sessions/back/stream",
            method="GET",
            headers={"Last-Event-ID": stream.events[-1].id or ""},
        ) as again:
            while not text_of(again.events):
                assert again.read_event() is not None
        seen += text_of(again.events)
        stream = again
    partial = pair.interrupt("back", pair.doors[1]).json["partial"]
    assert partial.startswith(seen)
    assert seen.count("w0 ") == 1


def test_a_question_supersedes_an_answer_at_any_door(pair: Several) -> None:
    chance = random.Random(3)
    with ExitStack() as stack:
        streams = [stack.enter_context(begin(pair, "take", pair.any_door(chance))) for _ in range(8)]
        pair.interrupt("take", pair.any_door(chance))
        for stream in streams:
            stream.read_all()
    ends = [end_of(stream.events)["done_reason"] for stream in streams]
    assert ends == ["superseded"] * 7 + ["interrupted"]


def test_a_killed_worker_loses_a_second_at_the_most(pair: Several) -> None:
    with ExitStack() as stack:
        streams = {f"kill-{number}": stack.enter_context(begin(pair, f"kill-{number}")) for number in range(8)}
        read_until = time.monotonic() + 1.5
        said: dict[str, str] = {}

        def read(session_id: str, stream: StreamClient) -> None:
            while time.monotonic() < read_until:
                assert stream.read_event() is not None
            said[session_id] = text_of(stream.events)

        threads = [threading.Thread(target=read, args=each) for each in streams.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        killed_at = time.monotonic()
        for pid in pair.gateways[0].worker_pids:
            pair.kill_worker(pid)
        door = pair.doors[1]
        for session_id in streams:
            wait_for(partial(is_free, pair, session_id, door), "the session is free", FREE_S)
        print(f"free after {time.monotonic() - killed_at:.1f} s")
        for session_id, text_read in said.items():
            kept = pair.session(session_id, door).json["messages"][-1]
            assert kept["interrupted"]
            lost = len(text_read.split()) - len(kept["content"].split())
            assert text_read.startswith(kept["content"]) or kept["content"].startswith(text_read)
            assert lost <= 150, f"{lost} words of a hundred a second are lost"
    wait_for(lambda: len(pair.gateways[0].worker_pids) == 2, "new workers are there")
    with begin(pair, "kill-0", pair.doors[0]):
        pair.interrupt("kill-0", pair.doors[1])


def test_a_restart_of_redis_stops_no_answer(tmp_path: Path, talker: ScriptedOllama) -> None:
    for is_persistent in (True, False):
        folder = tmp_path / str(is_persistent)
        with (
            RedisServer(folder, is_on_a_port=True, is_persistent=is_persistent) as redis,
            Several(redis, talker, folder / "gateways", gateways=2, workers=1) as pair,
        ):
            with begin(pair, "s") as stream:
                redis.end(is_killed=True)
                wait_for(lambda: not is_ready(pair.doors[1]), "it is not ready")
                refused = client.post(pair.doors[1], "/api/chat", {"message": "hi"})
                assert (refused.status, refused.json["error"]["code"]) == (503, "session_store_unavailable")
                assert refused.headers["Retry-After"]
                assert REDIS_IN_CHAIN % "down" in client.get(pair.doors[1], "/setup").json
                before = len(stream.events)
                while len(stream.events) < before + 20:
                    assert stream.read_event() is not None
                redis.start()
                for door in pair.doors:
                    wait_for(partial(is_ready, door), "it is ready again")
                assert REDIS_IN_CHAIN % "up" in client.get(pair.doors[1], "/setup").json
                reply = pair.interrupt("s", pair.doors[0])
                stream.read_all()
            assert reply.json["partial"] == text_of(stream.events)
            kept = pair.session("s", pair.doors[1]).json["messages"][-1]
            assert (kept["content"], kept["interrupted"]) == (reply.json["partial"], True)
            with begin(pair, "s", pair.doors[1]):
                assert pair.interrupt("s", pair.doors[0]).json["interrupted"]
