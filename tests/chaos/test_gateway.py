"""The gateway itself is killed, or out of disk, memory or file descriptors: it says so and goes on."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.chaos.scale import scaled
from tests.http.asking import ask, finish, opening, reason
from tests.support.client import StreamClient
from tests.support.gateway import SERVE, Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, done, hang, text
from tests.support.sse import text_of
from tests.support.tools import require, require_procfs, wait_for

PATIENT = {"smoothing_ms": 0, "stall_seconds": 600, "first_frame_seconds": 600}
MB = 1 << 20


@pytest.mark.parametrize("way", ["direct", "nginx"])
def test_fifty_answers_of_a_killed_worker_are_cut_and_the_next_worker_serves(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama, way: str
) -> None:
    started = gateway(stream=PATIENT)
    base_url = started.base_url if way == "direct" else nginx(started).base_url
    ollama.default(text("Half"), hang())
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(base_url, {"message": "hi"})) for _ in range(50)]
        for stream in streams:
            stream.read_text("Half")
        requests = ollama.chats
        assert len(requests) == 50
        started.kill_worker()
        for stream in streams:
            assert not any(event.is_end for event in stream.read_all())
            assert not stream.complete, "a cut answer looks like a whole one"
        assert all(request.closed.wait(5) for request in requests)
    ollama.default(text("Whole"), done())
    with StreamClient(base_url, {"message": "again"}) as stream:
        assert text_of(finish(stream)) == "Whole"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_for_logs_stops_nothing(gateway: Callable[..., Gateway], ollama: ScriptedOllama, form: str) -> None:
    command = ("sh", "-c", f'exec {sys.executable} -m clawgate serve "$@" 2>/dev/full', "sh")
    started = gateway(command=command, logging={"level": "debug", "format": form}, stream=PATIENT)
    ollama.default(text("a"), done())
    for _ in range(5):
        assert reason(ask(started, "hi")) == "stop"
    ollama.default(text("a"), hang())
    with started.stream(opening("s-full")) as stream:
        stream.read_text("a")
        assert started.post("/api/interrupt", {"session_id": "s-full"}).json["interrupted"] is True
        assert reason(finish(stream)) == "interrupted"
    assert started.post("/api/chat", b"{oops").status == 400
    ollama.stop()
    assert started.get("/readyz").status == 503
    assert started.terminate() == 0


def limited(which: int, soft: int) -> tuple[str, ...]:
    """The gateway with a limit on one of its resources, in each of its processes."""
    limits = f"import resource, os, sys; resource.setrlimit({which}, ({soft}, {soft}))"
    return (
        sys.executable,
        "-c",
        f"{limits}; os.execv(sys.executable, [sys.executable, *{SERVE[1:]!r}, *sys.argv[1:]])",
    )


HUGE_BYTES = scaled(120, 300) * MB
LIMIT_BYTES = scaled(450, 900) * MB


@pytest.mark.deadline(120)
def test_bodies_beyond_its_memory_fail_and_the_gateway_serves_on(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """A body's limit is a setting, 16 MiB. Only this is promised where memory is less than that limit allows.

    The request gets an error or a closed connection. The worker may die (msgspec ends in SIGSEGV where the system gives
    it no memory) and is replaced at once, as one that the kernel kills for its memory.
    """
    require_procfs()
    command = limited(resource.RLIMIT_AS, LIMIT_BYTES)
    started = gateway(command=command, server={"max_body_bytes": 1 << 30, "max_streams": 8}, logging={"level": "error"})
    huge = b'{"message": "' + b"x" * HUGE_BYTES + b'"}'
    for _ in range(2):
        with StreamClient(started.base_url, huge) as stream:
            try:
                assert stream.status >= 500, "the machine took it"
            except ConnectionError:
                pass
    ollama.default(text("a"), done())
    assert reason(ask(started, "hi")) == "stop"
    assert started.post("/api/chat", b'{"message": 5}').status == 400


FDS = 64
CROWD = 60


@pytest.mark.deadline(120)
def test_fds_that_run_out_are_told_and_come_back(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    require_procfs()
    prlimit = require("prlimit", "the test takes fds away from a running gateway")
    started = gateway(server={"max_streams": CROWD}, stream=PATIENT)
    baseline = started.baseline()
    worker = started.worker_pid
    ask(started, opening("s-before"))
    subprocess.run([prlimit, f"--nofile={FDS}:", "--pid", str(worker)], check=True)
    ollama.default(text("a"), hang())
    with ExitStack() as stack:
        streams = [stack.enter_context(started.stream(opening(f"s-{number}"))) for number in range(CROWD)]
        started.wait_for_line("no file descriptor is left")
        streams[0].read_text("a")
        assert worker in started.worker_pids
        for stream in streams[5:]:
            stream.close()
        wait_for(lambda: started.resources()["fds"] < FDS - 10, "fds have come back")
        assert started.post("/api/interrupt", {"session_id": "s-0"}).json["interrupted"] is True
        assert reason(finish(streams[0])) == "interrupted"
        ollama.default(text("b"), done())
        assert text_of(ask(started, "hi")) == "b"
    assert started.get("/api/sessions/s-before").status == 200, "nothing was forgotten"
    assert started.worker_pids == [worker], "the worker was replaced"
    subprocess.run([prlimit, "--nofile=4096:", "--pid", str(worker)], check=True)
    started.wait_until_resources_settle(baseline)
