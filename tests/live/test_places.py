"""Places where nothing can be written: a read-only system, full disks, a full log, no file descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.http.asking import ask
from tests.support import client, sse
from tests.support.command import Finished, assert_is_one_line
from tests.support.embedded import require_embedded
from tests.support.gateway import SERVE, Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import DEADLINE_S, ROOT, free_port, require_mount_namespace, wait_for

READ_ONLY = """
mount --make-rprivate /
for place in $(awk '{print $5}' /proc/self/mountinfo | sort -u); do
    case $place in /proc*|/sys*) continue;; esac
    mount -o remount,bind,ro "$place" 2>/dev/null
done
! touch /dev/shm/probe /tmp/probe "$HOME/probe" 2>/dev/null || exit 99
unset HOME XDG_CACHE_HOME XDG_RUNTIME_DIR TMPDIR
"""
FULL = """
mount --make-rprivate /
for place in /dev/shm "$TMPDIR"; do
    mount -t tmpfs -o size=4k,nr_inodes=2 tmpfs "$place"
    head -c 8192 /dev/zero > "$place/full" 2>/dev/null
    ! touch "$place/probe" 2>/dev/null || exit 99
done
"""
GUNICORN = (sys.executable, "-m", "gunicorn", "-c", "python:clawgate.gunicorn_conf", "clawgate.wsgi:app")
PLACES = {"read-only": READ_ONLY, "full": FULL}


def placed(mounts: str, command: tuple[str, ...] = SERVE) -> list[str]:
    """Return the command that starts a process where only these mounts are."""
    return [*require_mount_namespace(), "sh", "-c", f'{mounts}\nexec "$@"', "sh", *command]


def finished(command: list[str], env: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end."""
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("place", PLACES)
def test_it_serves_where_nothing_can_be_written(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path, place: str
) -> None:
    (tmp_path / "disk").mkdir()
    started = gateway(command=placed(PLACES[place]), env={"TMPDIR": str(tmp_path / "disk")})
    assert started.get("/").status == started.get("/setup").status == started.get("/static/page/chat.js").status == 200
    long = {"message": "x" * (2 << 20), "stream": False}
    assert started.post("/api/chat", long).json["message"] == "Hello."
    assert len(ollama.next_request().json["messages"][0]["content"]) == 2 << 20
    assert sse.text_of(ask(started, "hi")) == "Hello."
    started.kill_worker()
    assert sse.text_of(ask(started, "hi")) == "Hello.", "the next worker needs no file either"
    assert started.terminate() == 0
    assert "Traceback" not in started.log


@pytest.mark.parametrize("way", ["serve", "gunicorn"])
def test_a_unix_socket_there_is_one_line_with_its_cure(way: str) -> None:
    command = SERVE if way == "serve" else GUNICORN
    done = finished(placed(READ_ONLY, command), {"CLAWGATE_SERVER_HOST": "unix:/tmp/clawgate-gate.sock"})
    lines = [line for line in done.stderr.splitlines(keepends=True) if " INFO " not in line]
    assert assert_is_one_line(done._replace(stderr="".join(lines)), 1) == (
        "clawgate: server.host: cannot listen on unix:/tmp/clawgate-gate.sock: Read-only file system: choose a folder "
        "that can be written to, such as one below /run"
    )


@pytest.mark.deadline(120)
def test_up_and_its_small_model_need_no_file(gateway: Callable[..., Gateway]) -> None:
    require_embedded()
    command = placed(READ_ONLY, (sys.executable, "-m", "clawgate", "up"))
    endpoint = {"endpoint": f"http://127.0.0.1:{free_port()}"}
    up = gateway(command=command, model=endpoint, stream={"stall_seconds": 60}, is_ready_awaited=False)
    address = str(up.wait_for_line(r"^Open (http://\S+)/ in your browser", 2 * DEADLINE_S, stdout_only=True)[1])
    reply = client.post(address, "/api/chat", {"message": "Hi", "stream": False, "options": {"num_predict": 3}})
    assert reply.status == 200, reply.json
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert "Traceback" not in up.log


def test_a_full_disk_under_its_output_and_its_log_stops_nothing(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    port = free_port()
    started = gateway(
        command=("sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh", *SERVE),
        server={"port": port},
        is_ready_awaited=False,
    )
    started.port = port

    def is_up() -> bool:
        try:
            return started.get("/healthz").status == 200
        except OSError:
            return False

    wait_for(is_up, "it serves")
    worker = started.worker_pid
    assert sse.text_of(ask(started, "hi")) == "Hello."
    assert started.get("/nowhere").status == 404
    assert started.worker_pid == worker
    assert started.terminate() == 0
    assert len(ollama.chats) == 1


def test_a_command_whose_output_is_full_says_so_in_one_line(ollama: ScriptedOllama) -> None:
    command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", sys.executable, "-m", "clawgate", "check"]
    done = finished(command, {"CLAWGATE_MODEL_ENDPOINT": ollama.base_url})
    assert assert_is_one_line(done, 1) == "clawgate: cannot write the output: No space left on device"


def test_with_few_file_descriptors_it_serves_and_with_too_few_it_says_so(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    def limited(count: int) -> tuple[str, ...]:
        return ("sh", "-c", f'ulimit -n {count} && exec "$@"', "sh", *SERVE)

    done = finished(list(limited(20)), {"CLAWGATE_SERVER_PORT": "0"})
    line = "clawgate: 20 file descriptors are too few: raise LimitNOFILE or `ulimit -n`"
    assert assert_is_one_line(done, 1) == line
    started = gateway(command=limited(32))
    assert sse.text_of(ask(started, "hi")) == "Hello."
    assert started.get("/").status == 200
    assert len(ollama.chats) == 1
