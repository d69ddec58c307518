"""Gateway on a stand-in, Nginx on a stand-in of the shipped file, and what they report when they fail."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import StreamClient, get
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx, substituted
from tests.support.ollama import ScriptedOllama, chunk, end, hang
from tests.support.proc import is_alive
from tests.support.tools import DEADLINE_S, free_port, require, require_procfs, wait_for

# A master with one worker that it replaces, as gunicorn's; it reads the config and ends at SIGTERM.
STAND_IN = """
import json, os, signal, sys, time
config = json.load(open(sys.argv[2]))
def fork():
    global worker
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # CPython's child forgets what comes during the fork
    if (worker := os.fork()) == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        time.sleep(60)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
def end(*_):
    os.kill(worker, signal.SIGTERM)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
fork()
print("endpoint", config["model"]["endpoint"], file=sys.stderr, flush=True)
print("Server started on :18789", flush=True)
while True:
    os.waitpid(worker, 0)
    fork()
"""
SHIPPED = """
upstream clawgate { server 127.0.0.1:18789; keepalive 8; }
server {
    listen 8080;
    access_log /var/log/nginx/clawgate.log;
    location / {
        proxy_pass http://clawgate;
        proxy_buffering off;
        proxy_http_version 1.1;
        proxy_set_header Host localhost;
    }
}
"""
ASK = {"model": "qwen3:32b", "messages": [{"role": "user", "content": "Hi."}]}


def test_gateway_is_known_inside_and_out(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    require_procfs()
    running = gateway(command=[sys.executable, "-c", STAND_IN])
    assert running.base_url == "http://127.0.0.1:18789"
    assert running.config["server"] == {"port": 0, "graceful_seconds": 2}
    running.wait_for_line(f"endpoint {ollama.base_url}")
    worker = running.worker_pid
    held = running.resources()
    assert held["threads"] == 1
    assert held["sockets"] == 0
    assert held["rss_bytes"] > 2**20
    running.wait_until_resources_settle(held)
    with pytest.raises(AssertionError, match="baseline"):
        running.wait_until_resources_settle({"fds": 0, "sockets": 0}, deadline_s=0.01)
    successor = running.kill_worker()
    assert successor != worker
    assert running.terminate() == 0
    wait_for(lambda: not is_alive(successor), "the worker has gone too")


def test_gateway_fails_with_its_log_when_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no such setting"):
        Gateway({}, tmp_path, command=[sys.executable, "-c", "import sys; sys.exit('no such setting')"])


def test_whole_group_is_killed_when_the_master_was(gateway: Callable[..., Gateway]) -> None:
    require_procfs()
    running = gateway(command=[sys.executable, "-c", STAND_IN])
    worker = running.worker_pid
    running.signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert is_alive(worker)
    running.stop()
    wait_for(lambda: not is_alive(worker), "the orphan has gone")


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A stand-in for the shipped configuration."""
    file = tmp_path / "shipped.conf"
    file.write_text(SHIPPED)
    return file


def test_nginx_forwards_a_stream_and_its_abort(
    nginx: Callable[..., Nginx], ollama: ScriptedOllama, shipped: Path
) -> None:
    running = nginx(f"127.0.0.1:{ollama.port}", shipped=shipped, replace={"http://clawgate": "http://clawgate"})
    ollama.script(chunk(b"a\n"), end())
    ollama.script(chunk(b"a\n"), hang())
    with StreamClient(running.base_url, ASK) as client:
        assert client.read_body() == b"a\n"
        assert client.complete
    assert ollama.next_request().finished.wait(DEADLINE_S)
    with StreamClient(running.base_url, ASK) as client:
        client.read_line()
        client.close()
        request = ollama.next_request()
        assert request.closed.wait(DEADLINE_S)
    wait_for(lambda: running.access_log.count("POST /api/chat") == 2, "both requests are logged")


def test_nginx_fails_with_its_log_when_the_configuration_is_wrong(tmp_path: Path, shipped: Path) -> None:
    require("nginx", "the test starts it")
    with pytest.raises(AssertionError, match="unknown directive"):
        Nginx(
            "127.0.0.1:9", tmp_path / "prefix", shipped=shipped, replace={"proxy_buffering off": "proxy_bluffering off"}
        )


def test_substitution_fails_when_there_is_nothing_to_substitute() -> None:
    assert substituted("listen 8080;listen 80801;", {"listen 8080": "listen 1"}) == "listen 1;listen 80801;"
    assert substituted("a b", {"a": r"\1"}) == r"\1 b"
    for text in ("listen 80801;", "listen [::]:8080;", "# nothing"):
        with pytest.raises(AssertionError, match="listen 8080"):
            substituted(text, {"listen 8080": "listen 1"})


def test_tools_are_required_only_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    assert require("json", "it is there") == "json"
    assert Path(require("sh", "it is there")).is_absolute()
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="tool is not installed: why"):
        require("no_such.tool", "why")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="why"):
        require("no_such.tool", "why")


def test_conditions_are_waited_for_or_named() -> None:
    values = iter([0, 0, 7])
    assert wait_for(lambda: next(values), "seven") == 7
    with pytest.raises(AssertionError, match="the moon"):
        wait_for(lambda: None, "the moon", 0.01)
    with ScriptedOllama(free_port()) as ollama:
        assert get(ollama.base_url, "/").status == 200
