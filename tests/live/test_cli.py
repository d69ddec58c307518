"""The command line as processes: what is printed, where, and the exit status."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clawgate import __version__
from tests.support.command import assert_is_one_line, clawgate
from tests.support.gateway import SERVE, Gateway
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama
from tests.support.redis import RedisServer
from tests.support.tools import free_port, wait_for

CLAWGATE = (sys.executable, "-m", "clawgate")
CONFIG = "server: {port: 0}\n"


@pytest.mark.parametrize("command", [CLAWGATE, SERVE], ids=["--config", "serve --config"])
def test_started_line_names_the_port_once_it_listens(gateway: Callable[..., Gateway], command: tuple[str, ...]) -> None:
    started = gateway(command=command)
    socket.create_connection(("127.0.0.1", started.port)).close()
    assert started.get("/healthz").json == {"status": "ok"}
    assert started.terminate() == 0
    assert started.stdout == [f"Server started on :{started.port}\n"]
    assert "Traceback" not in started.log


def test_options_override_the_file_and_the_environment(gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    env = {"CLAWGATE_SERVER_PORT": "1", "CLAWGATE_SERVER_HOST": "nowhere.invalid", "CLAWGATE_SERVER_MAX_STREAMS": "7"}
    command = (*SERVE, "--port", str(port), "--host", "localhost")
    started = gateway(command=command, env=env, server={"port": 2, "max_streams": 3})
    assert started.port == port
    assert started.get("/api/status").json["max_streams"] == 7


def test_defaults_do_without_a_file(tmp_path: Path) -> None:
    line = r"not ready: no Ollama answers at http://127\.0\.0\.1:(\d+): it refused the connection; start .*serve`"
    done = clawgate("check", cwd=tmp_path, env={"CLAWGATE_MODEL_ENDPOINT": f"http://127.0.0.1:{free_port()}/"})
    assert done.status == 1
    assert done.stdout.splitlines()[0] == "ok: configuration (defaults and variables)"
    assert re.fullmatch(line, done.stdout.splitlines()[1])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("server: {port: abc}", 'server.port: expected an integer from 1 to 65535, got "abc"'),
        ("server: {prot: 1}", "server.prot: unknown key; the nearest known one is server.port"),
        ("server: {workers: 2}", "server.workers: expected 1 with session.backend: memory, got 2; "),
        ("server: [", "is not YAML: "),
    ],
)
def test_wrong_file_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "config.yaml").write_text(text + "\n")
    for arguments in (("--config", "config.yaml"), ("check", "--config", "config.yaml")):
        line = assert_is_one_line(clawgate(*arguments, cwd=tmp_path), 2)
        assert line.startswith(f"clawgate: config.yaml: {complaint}")


@pytest.mark.parametrize(
    "command", [("serve",), ("up",), ("check",), ()], ids=lambda command: " ".join(command) or "none"
)
def test_absent_file_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    line = assert_is_one_line(clawgate(*command, "--config", "absent.yaml", cwd=tmp_path), 2)
    assert line == "clawgate: absent.yaml: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serv",), "invalid choice: 'serv'"),
        (("serve", "--colour"), "unrecognized arguments: --colour"),
        (("serve", "spare"), "unrecognized arguments: spare"),
        (("--config",), "argument --config: expected one argument"),
        (("serve", "--port", "70000"), "--port: expected an integer from 1 to 65535, got 70000"),
        (("serve", "--port", ""), 'argument --port: expected a value, got ""'),
        (("check", "--config", " "), 'argument --config: expected a value, got ""'),
        (("chat", "--colour"), "unrecognized arguments: --colour"),
        (("chat", "--session", "a/b"), "argument --session: expected 1 to 128 letters, digits, _ or -, got 'a/b'"),
        (("chat", "--url", " "), 'argument --url: expected a value, got ""'),
        (("embedded", "--port", "x"), 'expected an integer from 0 to 65535, got "x"'),
        (("embedded", "--colour"), "unrecognized arguments: --colour"),
        (("files", "config.yaml", "spare"), "unrecognized arguments: spare"),
        (("embedded", "--model", "qwen3"), 'expected smollm2:135m or qwen2.5-coder:0.5b, got "qwen3"'),
        (("up", "--model", ""), '--model: expected smollm2:135m or qwen2.5-coder:0.5b, got ""'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in assert_is_one_line(clawgate(*arguments, cwd=tmp_path), 2)


def test_wrong_variable_is_one_line_without_the_token(tmp_path: Path) -> None:
    env = {"CLAWGATE_SERVER_AUTH_TOKEN": "s3cr3t"}
    line = assert_is_one_line(clawgate("serve", "--port", "0", cwd=tmp_path, env=env), 2)
    assert line.startswith("clawgate: CLAWGATE_SERVER_AUTH_TOKEN: expected a text of at least 8 visible ASCII")
    assert "s3cr3t" not in line


def test_no_command_shows_the_help(tmp_path: Path) -> None:
    done = clawgate(cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: clawgate ")


def test_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = assert_is_one_line(clawgate("serve", "--port", str(port), cwd=tmp_path), 1)
        embedded = clawgate("embedded", "--port", str(port), cwd=tmp_path)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in line
    if sys.platform == "linux":
        holder = rf"it is held by .+ \(pid {os.getpid()}\): stop it with `kill {os.getpid()}`, or choose .*--port"
        assert re.search(rf"in use; {holder}$", line)
        assert importlib.util.find_spec("xllamacpp") is None or re.search(holder, assert_is_one_line(embedded, 1))


def test_of_two_that_start_at_once_one_serves_and_one_says_why_not(gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    both = [gateway(server={"port": port}, is_ready_awaited=False) for _ in range(2)]
    wait_for(lambda: not all(each.is_running for each in both), "one of them gives up")
    serves, gives_up = sorted(both, key=lambda each: not each.is_running)
    assert gives_up.wait() == 1
    serves.wait_until_ready()
    gives_up.wait_for_end_of_output()
    assert len(gives_up.lines) == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in gives_up.log


def test_unknown_host_is_one_line(tmp_path: Path) -> None:
    line = assert_is_one_line(clawgate("serve", "--host", "nowhere.invalid", "--port", "0", cwd=tmp_path), 1)
    assert "cannot listen on nowhere.invalid port 0: " in line


def test_check_says_what_is_ready(ollama: ScriptedOllama, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"model: {{endpoint: '{ollama.base_url}'}}\n")
    ready = [f"ok: configuration {config}", f"ok: Ollama 0.12.6 at {ollama.base_url}", f"ok: model {DEFAULT_MODEL}"]
    done = clawgate("check", "--config", str(config))
    assert (done.status, done.stdout.splitlines(), done.stderr) == (0, ready, "")

    config.write_text(f"model: {{endpoint: '{ollama.base_url}', options: {{num_ctx: 512, num_ctxx: 1}}}}\n")
    note = "warning: model.options: num_ctxx is not known here (is it num_ctx?); Ollama gets it as it is"
    done = clawgate("check", "--config", str(config))
    assert (done.status, done.stdout.splitlines(), done.stderr) == (0, [ready[0], note, *ready[1:]], "")
    config.write_text(f"model: {{endpoint: '{ollama.base_url}'}}\n")

    ollama.models = ["another:1b"]
    absent = f"not ready: the model {DEFAULT_MODEL} is not there; get it with `ollama pull {DEFAULT_MODEL}`"
    done = clawgate("check", "--config", str(config))
    assert (done.status, done.stdout.splitlines(), done.stderr) == (1, [*ready[:2], absent], "")

    ollama.stop()
    refused = f"not ready: no Ollama answers at {ollama.base_url}: it refused the connection"
    absent = f"{refused}; start it with `ollama serve`"
    done = clawgate("--config", str(config), "check")
    assert (done.status, done.stdout.splitlines(), done.stderr) == (1, [ready[0], absent], "")


def test_check_says_whether_redis_is_ready(ollama: ScriptedOllama, tmp_path: Path) -> None:
    given = {"CLAWGATE_MODEL_ENDPOINT": ollama.base_url, "CLAWGATE_SESSION_BACKEND": "redis"}
    with RedisServer(tmp_path / "redis", is_on_a_port=True) as server:
        given["CLAWGATE_SESSION_REDIS_URL"] = server.url
        done = clawgate("check", cwd=tmp_path, env=given)
        assert (done.status, done.stderr) == (0, "")
        ready = done.stdout.splitlines()
    assert re.fullmatch(rf'ok: Redis 7\.[\d.]+ at 127\.0\.0\.1:{server.port}, sessions under "clawgate"', ready[1])
    done = clawgate("check", cwd=tmp_path, env=given)
    refused = f"not ready: no Redis answers at 127.0.0.1:{server.port}: it refused the connection; "
    assert (done.status, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [ready[0], f"{refused}start it with `systemctl start redis-server`", *ready[2:]]


def test_version_and_help_are_as_everywhere(tmp_path: Path) -> None:
    assert clawgate("--version", cwd=tmp_path) == (0, f"clawgate {__version__}\n", "")
    for command in ((), ("serve",), ("up",), ("check",), ("chat",), ("bot",), ("files",), ("embedded",)):
        done = clawgate(*command, "--help", cwd=tmp_path, env={"COLUMNS": "120"})
        assert (done.status, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: {' '.join(('clawgate', *command))} ")
        assert ("--config FILE" in done.stdout) == (command not in (("files",), ("embedded",)))
    assert "--weights FILE.gguf" in done.stdout
    assert "smollm2:135m or qwen2.5-coder:0.5b (default: smollm2:135m)" in " ".join(done.stdout.split())
    listed = clawgate("--help", cwd=tmp_path).stdout
    assert [
        name for name in ("serve", "up", "check", "chat", "bot", "files", "embedded") if f"\n    {name} " not in listed
    ] == []
