"""`clawgate chat` in a pipe: the answer on stdout and nothing else there, and an exit status that says how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from tests.support.command import Finished, assert_is_one_line
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, error_line, hang, status, text, texts, thinking
from tests.support.shared import ollama_of, shared_gateway
from tests.support.tools import DEADLINE_S, ROOT, free_port

TOKEN = "s3cr3t-token"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The module's gateway, which wants a token."""
    stream = {"smoothing_ms": 0, "retry_seconds": 0}
    config: dict[str, dict[str, object]] = {"stream": {**stream}, "server": {"auth_token": TOKEN}}
    with shared_gateway(tmp_path_factory.mktemp("gate"), config) as gateway:
        gateway.get("/healthz")
        yield gateway
        gateway.stop(signal.SIGKILL)


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind it."""
    with ollama_of(gate) as scripted:
        yield scripted


def start(
    *arguments: str, env: Mapping[str, str] | None = None, stdout: int | IO[bytes] = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start the client with pipes."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLAWGATE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "clawgate", "chat", *arguments],
        env={**clean, "PYTHONPATH": path, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def chat(question: str | bytes, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
    """Ask one question, and read the answer to its end."""
    with start(*arguments, env=env) as process:
        given = question.encode() if isinstance(question, str) else question
        stdout, stderr = process.communicate(given, DEADLINE_S)
        return Finished(process.returncode, stdout.decode(), stderr.decode())


@pytest.fixture
def ask(gate: Gateway, upstream: ScriptedOllama) -> Callable[..., Finished]:
    """Ask the module's gateway."""
    del upstream
    return lambda question, *arguments: chat(
        question, "--url", gate.base_url, *arguments, env={"CLAWGATE_TOKEN": TOKEN}
    )


def test_the_answer_is_all_of_stdout(ask: Callable[..., Finished], upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), texts("**春\x1b[2J", "光**\n\n", "`x`"), done())
    assert ask("Hi\nthere\n", "--think", "--system", "Be brief.") == (0, "**春[2J光**\n\n`x`\n", "")
    (request,) = upstream.chats
    assert [message["content"] for message in request.messages] == ["Be brief.", "Hi\nthere"]
    assert request.json["think"] is True
    upstream.script(text("ends\n"), done())
    assert ask("Hi").stdout == "ends\n"


def test_what_is_not_whole_says_so(ask: Callable[..., Finished], upstream: ScriptedOllama) -> None:
    upstream.script(text("par"), done("length"))
    words = "clawgate: the answer is not whole: cut off: the length limit was reached. /continue goes on\n"
    assert ask("Hi") == (1, "par\n", words)
    upstream.script(text("par"), error_line("it \x1b[2J broke"))
    assert ask("Hi") == (1, "par\n", "clawgate: it [2J broke\n")
    upstream.script(status(400, {"error": "no vision"}))
    line = assert_is_one_line(ask("Hi"), 1)
    assert line.startswith("clawgate: Ollama refused this message: no vision")


def test_a_session_is_gone_on_with(ask: Callable[..., Finished], upstream: ScriptedOllama, gate: Gateway) -> None:
    opening = {"session_id": "s-pipe", "messages": [{"role": "user", "content": "One"}], "stream": False}
    gate.post("/api/chat", opening, {"X-Clawgate-Token": TOKEN})
    assert ask("Two", "--session", "s-pipe") == (0, "Hello.\n", "")
    assert [message["content"] for message in upstream.chats[-1].messages] == ["One", "Hello.", "Two"]
    line = assert_is_one_line(ask("Two", "--session", "s-unknown"), 1)
    assert line == "clawgate: --session: the gateway does not know s-unknown (any more)"


def test_an_interrupt_ends_the_answer_and_the_client(upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(text("Once\n"), hang())
    with start("--url", gate.base_url, "--token", TOKEN) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"A story")
        process.stdin.close()
        assert process.stdout.readline() == b"Once\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
        assert upstream.next_request().closed.wait(DEADLINE_S)
        assert process.stderr
        assert process.stderr.read() == b""


def test_a_reader_that_leaves_ends_the_answer_quietly(upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(*[text("line\n")] * 3, hang())
    with start("--url", gate.base_url, "--token", TOKEN) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"A story")
        process.stdout.close()
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 141
        assert upstream.next_request().closed.wait(DEADLINE_S)
        assert process.stderr
        assert process.stderr.read() == b""


def test_an_output_that_is_full_is_one_line(upstream: ScriptedOllama, gate: Gateway) -> None:
    with Path("/dev/full").open("wb") as full, start("--url", gate.base_url, "--token", TOKEN, stdout=full) as process:
        _, stderr = process.communicate(b"Hi", DEADLINE_S)
        assert (process.returncode, stderr) == (1, b"clawgate: cannot write the output: No space left on device\n")
    assert upstream.next_request().finished.wait(DEADLINE_S)


def test_what_the_output_cannot_encode_is_replaced(upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(text("a 春 \U0001f38b"), done())
    env = {"PYTHONIOENCODING": "ascii", "CLAWGATE_TOKEN": TOKEN}
    assert chat("Hi", "--url", gate.base_url, env=env) == (0, "a ? ?\n", "")


def test_a_token_that_is_missing_or_wrong_is_one_line(gate: Gateway) -> None:
    for arguments in ((), ("--token", "another-token")):
        line = assert_is_one_line(chat("Hi", "--url", gate.base_url, *arguments), 1)
        assert "--token, or in CLAWGATE_TOKEN" in line
        assert "another-token" not in line


def test_an_absent_gateway_is_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    line = assert_is_one_line(chat("Hi", "--url", url), 1)
    assert line == f"clawgate: no gateway answers at {url}: connection refused"
