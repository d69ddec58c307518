"""Several workers of one master: they share the streams, the new connections and the metrics, and each can be lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.live.test_gunicorn import WAYS, gunicorn
from tests.support.client import StreamClient
from tests.support.exposition import Samples, samples
from tests.support.gateway import SERVE, Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text
from tests.support.proc import resources_of
from tests.support.redis import RedisServer
from tests.support.reloading import reload
from tests.support.tools import wait_for

WORKERS, SHARE = 2, 4
LIMIT = WORKERS * SHARE
ASKED = [{"role": "user", "content": "Question"}]
SCRAPES = 8
"""Each comes over a connection of its own, so that either worker answers some of them."""


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis that several workers need."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def several(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, redis_server: RedisServer
) -> Callable[..., Gateway]:
    """Start a gateway of two workers, before an Ollama that says a word and goes on for ever."""
    ollama.default(text("Well"), hang())

    def start(command: tuple[str, ...] = SERVE, **server: object) -> Gateway:
        started = gateway(
            command=command,
            server={"workers": WORKERS, "max_streams": SHARE, **server},
            session={"backend": "redis", "redis_url": redis_server.url},
            stream={"stall_seconds": 600},
        )
        wait_for(lambda: all_rest(started), "both workers serve")
        return started

    return start


def all_rest(gateway: Gateway) -> bool:
    """Tell whether every worker has come to its main loop: all have the same by then."""
    held = [resources_of(pid)["fds"] for pid in gateway.worker_pids]
    return len(held) == WORKERS and len(set(held)) == 1


@contextmanager
def streams(gateway: Gateway, count: int) -> Iterator[list[StreamClient]]:
    """So many answers in flight."""
    with ExitStack() as stack:
        opened = [stack.enter_context(gateway.stream(f"Question {number}")) for number in range(count)]
        for stream in opened:
            stream.read_text("Well")
        yield opened


def told(gateway: Gateway) -> list[Samples]:
    """Scrape some times."""
    return [samples(gateway.get("/metrics").json) for _ in range(SCRAPES)]


def have_all(gateway: Gateway, **expected: float) -> bool:
    """Tell whether every scrape has these values, whichever worker answers."""
    return all(scrape[f"clawgate_{name}"] == value for scrape in told(gateway) for name, value in expected.items())


@pytest.mark.parametrize("way", ["serve", "gunicorn", "unix"])
def test_the_streams_are_a_sum_and_spread_over_the_workers(
    several: Callable[..., Gateway], tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    host = {"host": f"unix:{tmp_path_factory.mktemp('s') / 's'}"} if way == "unix" else {}
    started = several(WAYS.get(way, SERVE), **host)
    before = [resources_of(pid)["sockets"] for pid in started.worker_pids]
    with streams(started, LIMIT):
        status = started.get("/api/status").json
        assert (status["streams"], status["max_streams"]) == (LIMIT, LIMIT)
        refused = started.post("/api/chat", {"message": "One more"})
        assert (refused.status, refused.json["error"]["code"]) == (503, "busy")
        assert f"all {LIMIT} streams" in refused.json["error"]["message"]
        after = [resources_of(pid)["sockets"] for pid in started.worker_pids]
        assert all(held > had for held, had in zip(after, before, strict=True)), "each worker serves some"
        wait_for(
            lambda: have_all(started, streams=LIMIT, streams_limit=LIMIT, answers_in_flight=LIMIT),
            "both workers tell the sums",
        )
    wait_for(lambda: have_all(started, streams=0, answers_in_flight=0), "none is left")
    assert started.log.count("Server started on") == 1
    assert started.terminate() == 0


def test_a_worker_serves_all_while_the_other_hangs_and_its_slots_come_back_when_it_is_killed(
    several: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = several()
    hangs, serves = started.worker_pids
    os.kill(hangs, signal.SIGSTOP)
    ollama.script(text("Well"), done())
    with started.stream("Done soon") as stream:
        stream.read_all()
    wait_for(lambda: have_all(started, frames_total=2), "it is counted")
    cpu = told(started)[-1]["process_cpu_seconds_total"]
    with streams(started, LIMIT):
        assert started.streams == LIMIT
        os.kill(serves, signal.SIGKILL)
        os.kill(hangs, signal.SIGCONT)
        wait_for(lambda: started.streams == 0, "the slots are free")
    wait_for(lambda: len(started.worker_pids) == WORKERS and serves not in started.worker_pids, "it is replaced")
    with streams(started, LIMIT):
        assert started.streams == LIMIT
    for scrape in told(started):
        assert scrape["clawgate_frames_total"] >= 2, "no count goes back"
        assert scrape["process_cpu_seconds_total"] >= cpu


def test_a_reload_reaches_every_worker_and_sigterm_ends_the_answers_of_all(several: Callable[..., Gateway]) -> None:
    started = several(graceful_seconds=0)
    reload(started, model={"allowed_models": ["another"]})
    wait_for(lambda: started.log.count("clawgate: reloaded: model.allowed_models") == WORKERS, "both have reloaded")
    with streams(started, LIMIT) as opened:
        started.signal(signal.SIGTERM)
        for stream in opened:
            assert stream.read_all()[-1].data["done_reason"] == "interrupted"
    assert started.wait() == 0


def test_the_command_line_may_not_ask_for_another_number() -> None:
    done = gunicorn(
        "-w",
        "3",
        env={
            "CLAWGATE_SERVER_PORT": "0",
            "CLAWGATE_SERVER_WORKERS": "2",
            "CLAWGATE_SESSION_BACKEND": "redis",
            "CLAWGATE_SESSION_REDIS_URL": "redis://127.0.0.1:1",
            "CLAWGATE_SESSION_REDIS_REQUIRED": "false",
        },
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "clawgate: 3 workers: server.workers says 2" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_session_supersedes_its_own_answer_at_any_worker_while_all_streams_are_taken(
    several: Callable[..., Gateway],
) -> None:
    started = several(max_streams=1)
    with ExitStack() as stack:
        for session_id in ("sess-a", "sess-b"):
            stack.enter_context(started.stream({"session_id": session_id, "messages": ASKED})).read_text("Well")
        for _ in range(6):
            stream = stack.enter_context(started.stream({"session_id": "sess-a", "message": "Again"}))
            stream.read_text("Well")
            wait_for(lambda: started.streams == WORKERS, "the superseded answer's slot is free")
        assert started.post("/api/chat", {"message": "One more"}).json["error"]["code"] == "busy"
    wait_for(lambda: have_all(started, streams=0), "none is left")
