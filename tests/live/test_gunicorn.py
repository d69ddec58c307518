"""The other way in, `gunicorn -c python:clawgate.gunicorn_conf clawgate.wsgi:app`, is the same server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import sse
from tests.support.gateway import SERVE, Gateway
from tests.support.ollama import ScriptedOllama, hang, text
from tests.support.tools import DEADLINE_S, ROOT, wait_for

GUNICORN = f"{sys.executable} -m gunicorn -c python:clawgate.gunicorn_conf"
WAYS = {
    "serve": SERVE,
    # the harness adds `--config FILE`; the file goes where the WSGI entry looks for it
    "gunicorn": ("sh", "-c", f'CLAWGATE_CONFIG="$2" exec {GUNICORN} clawgate.wsgi:app', "sh"),
}
MAX_STREAMS = 3
ROUTES = [
    ("GET", "/"),
    ("GET", "/static/page/chat.css"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/api/status"),
    ("GET", "/api/chat"),
    ("HEAD", "/api/chat"),
    ("OPTIONS", "/api/chat"),
    ("PUT", "/api/chat"),
    ("POST", "/api/interrupt"),
    ("GET", "/api/sessions/none"),
    ("DELETE", "/api/sessions/none"),
    ("GET", "/nowhere"),
]


def seen(gateway: Gateway) -> dict[str, Any]:
    """Return each route's status and content, as a client sees them."""
    answers: dict[str, Any] = {}
    for method, path in ROUTES:
        with gateway.stream({} if method == "POST" else None, path=path, method=method) as reply:
            body = reply.read_body()
            answers[f"{method} {path}"] = (reply.status, reply.headers.get_content_type(), body)
    return answers


@pytest.mark.parametrize("way", WAYS)
def test_every_stream_is_taken_and_the_rest_still_answers(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, way: str
) -> None:
    ollama.default(text("Well"), hang())
    started = gateway(command=WAYS[way], server={"max_streams": MAX_STREAMS}, stream={"stall_seconds": 600})
    with ExitStack() as stack:
        streams = [stack.enter_context(started.stream(f"Question {number}")) for number in range(MAX_STREAMS)]
        for stream in streams:
            stream.read_text("Well")
        refused = started.post("/api/chat", {"message": "One more"})
        assert (refused.status, refused.json["error"]["code"]) == (503, "busy")
        assert started.get("/api/status").json["streams"] == MAX_STREAMS
        assert started.post("/api/interrupt", {"run_id": streams[0].events[0].data["run_id"]}).json["interrupted"]
        sse.check([*streams[0].events, *streams[0].read_all()])


def known(running: Gateway) -> Gateway:
    """Wait until the gateway has learnt what its model can: it asks in the background."""
    wait_for(lambda: running.get("/api/status").json["models"][0]["thinking"] is not None, "the model is known")
    return running


def test_both_ways_are_one_server(gateway: Callable[..., Gateway]) -> None:
    one, other = (seen(known(gateway(command=command))) for command in WAYS.values())
    assert one == other
    assert [one[route][0] for route in ("GET /", "HEAD /api/chat", "PUT /api/chat", "GET /nowhere")] == [
        200,
        200,
        405,
        404,
    ]


def test_settings_follow_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"server": {"host": "::1", "port": 0, "max_streams": 40, "graceful_seconds": 7}}))
    printed = gunicorn("--print-config", env={"CLAWGATE_CONFIG": str(config)}).stdout
    settings = dict(line.split("=", 1) for line in printed.replace(" ", "").splitlines() if "=" in line)
    assert {name: settings[name] for name in ("bind", "workers", "worker_class", "graceful_timeout")} == {
        "bind": "['[::1]:0']",
        "workers": "1",
        "worker_class": "clawgate.server.worker.Worker",
        "graceful_timeout": "17",
    }
    assert int(settings["threads"]) > 40
    assert int(settings["keepalive"]) > 60  # nginx's, which has to close a connection first


@pytest.mark.parametrize("env", [{}, {"GUNICORN_CMD_ARGS": "--workers 2"}], ids=["-w 2", "GUNICORN_CMD_ARGS"])
def test_more_workers_are_refused(env: dict[str, str]) -> None:
    done = gunicorn(*([] if env else ["-w", "2"]), env={"CLAWGATE_SERVER_PORT": "0", **env})
    assert done.returncode == 2
    assert done.stdout == ""
    assert "clawgate: 2 workers: sessions live in one process's memory; use 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_configuration_is_one_line() -> None:
    done = gunicorn(env={"CLAWGATE_SERVER_PORT": "abc"})
    complaint = 'clawgate: CLAWGATE_SERVER_PORT: expected an integer from 1 to 65535, got "abc"\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", complaint)


def gunicorn(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run gunicorn to its end."""
    command = ["sh", "-c", f'exec {GUNICORN} "$@" clawgate.wsgi:app', "sh", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
