"""`clawgate up` as a process: it finds a model, prints what it does, and leaves nothing when it ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.connection import Connection
from tests.support.embedded import require_embedded
from tests.support.gateway import write_config
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama, hang, text
from tests.support.proc import children_of, is_alive
from tests.support.process import ChildProcess
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S, ROOT, free_port, require_procfs, wait_for

START_S = 2 * DEADLINE_S
NOTICE = rf"^No Ollama answers at (\S+): the small embedded model (\S+) answers instead of {DEFAULT_MODEL}\.$"


class Up(ChildProcess):
    """A running `clawgate up`; all that it started ends with it, or with the test."""

    def __init__(
        self, folder: Path, *arguments: str, env: Mapping[str, str] | None, **sections: Mapping[str, object]
    ) -> None:
        require_procfs()
        config = write_config({**sections, "server": {"port": 0, **sections.get("server", {})}}, folder)
        command = [sys.executable, "-m", "clawgate", "up", "--config", str(config), *arguments]
        super().__init__(command, cwd=ROOT, env=env, name="up")
        self._known: set[int] = set()

    def wait_until_ready(self) -> str:
        """Wait for the page's address, and return it."""
        line = r"^Open (http://127\.0\.0\.1:\d+)/ in your browser\. Ctrl-C ends it\.$"
        url = str(self.wait_for_line(line, START_S, stdout_only=True)[1])
        assert client.get(url, "/healthz").status == 200  # now the worker is there too
        return url

    def everything(self) -> list[int]:
        """Return the pids of its children and their children."""
        found = [self.pid]
        for pid in found:
            found += children_of(pid)
        self._known.update(found[1:])
        return found[1:]

    def assert_all_ended(self) -> None:
        """Assert that no process that `everything` has seen is left."""
        wait_for(lambda: not self.left(), "what it started ends")

    def kill(self) -> None:
        """Send SIGKILL, and assert that nothing that holds its output outlives it for long."""
        self.everything()
        self.signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL
        self.wait_for_end_of_output()

    def left(self) -> list[int]:
        """Return the pids that are still there."""
        return [pid for pid in self._known if is_alive(pid)]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and its children, which have sessions of their own."""
        self.everything()
        super().stop(number)
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `clawgate up` with these sections of the configuration."""
    started: list[Up] = []

    def start(*arguments: str, env: Mapping[str, str] | None = None, **sections: Mapping[str, object]) -> Up:
        started.append(Up(tmp_path, *arguments, env=env, **sections))
        return started[-1]

    yield start
    for process in started:
        process.stop()
        print(f"--- up's log ---\n{process.log}")


@pytest.fixture
def nobody() -> dict[str, object]:
    """An endpoint on this machine without an Ollama."""
    require_embedded()
    return {"endpoint": f"http://127.0.0.1:{free_port()}"}


def test_ollama_that_answers_is_used(up: Callable[..., Up], ollama: ScriptedOllama) -> None:
    process = up("--model", "qwen2.5-coder:0.5b", model={"endpoint": ollama.base_url})
    url = process.wait_until_ready()
    assert process.stdout == [
        f"Ollama 0.12.6 answers at {ollama.base_url} with {DEFAULT_MODEL}.\n",
        "--model qwen2.5-coder:0.5b has no effect: it is for machines without Ollama.\n",
        f"Open {url}/ in your browser. Ctrl-C ends it.\n",
    ]
    assert client.get(url, "/").status == 200
    with StreamClient(url, {"message": "Hi"}) as stream:
        sse.check(stream.read_all())
        assert sse.text_of(stream.events) == "Hello."
    assert len(process.everything()) == 2, "the gateway's master and its worker"


def test_the_address_that_it_prints_has_the_path(up: Callable[..., Up], ollama: ScriptedOllama) -> None:
    process = up(model={"endpoint": ollama.base_url}, server={"path_prefix": "/chat"})
    line = r"^Open (http://127\.0\.0\.1:\d+/chat)/ in your browser\. Ctrl-C ends it\.$"
    address = str(process.wait_for_line(line, START_S, stdout_only=True)[1])
    assert client.get(address, "/").status == 200


def test_model_that_is_not_there_yet_is_named(up: Callable[..., Up], ollama: ScriptedOllama) -> None:
    ollama.models = []
    process = up(model={"endpoint": ollama.base_url})
    process.wait_until_ready()
    assert process.stdout[1] == f"It does not have that model yet: run `ollama pull {DEFAULT_MODEL}`.\n"


def test_ollama_elsewhere_is_waited_for(up: Callable[..., Up]) -> None:
    process = up("--model", "smollm2", model={"endpoint": "http://192.0.2.1:9"})
    process.wait_until_ready()
    assert process.stdout[1] == "--model smollm2:135m has no effect: model.endpoint is on another machine.\n"
    assert process.stdout[0] == "No Ollama answers at http://192.0.2.1:9 yet; the gateway waits for it.\n"


def test_another_server_elsewhere_is_named(up: Callable[..., Up]) -> None:
    def serve(connection: Connection) -> None:
        connection.receive()
        connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found")

    server = SocketServer(serve, host="127.0.0.2", port=0)  # up takes only 127.0.0.1 for this machine's own
    server.start()
    try:
        process = up(model={"endpoint": f"http://127.0.0.2:{server.port}/v1"})
        process.wait_until_ready()
    finally:
        server.close()
    where = f"http://127.0.0.2:{server.port}/v1"
    assert process.stdout[0] == f"What answers at {where} is not Ollama; leave out /v1 in model.endpoint.\n"


@pytest.mark.deadline(120)
def test_embedded_model_answers_where_no_ollama_does(up: Callable[..., Up], nobody: dict[str, object]) -> None:
    process = up(model=nobody, stream={"stall_seconds": 60})
    url = process.wait_until_ready()
    notice = process.wait_for_line(NOTICE, stdout_only=True)
    assert notice[1] == nobody["endpoint"]
    better = "`make run MODEL=qwen2.5-coder:0.5b`, or install Ollama and run `ollama pull qwen3:32b`"
    assert f"It is a trial model. For a better one: {better}.\n" in process.stdout
    status = client.get(url, "/api/status").json
    assert status["model"] == notice[2] == "smollm2:135m"
    assert status["upstream"]["model_ready"] is True, status
    assert status["upstream"]["embedded"] is True, status
    with StreamClient(url, {"message": "Tell me the story of a fox and a river."}) as stream:
        stream.read_until(lambda event: event.is_text, START_S)
        assert len(process.everything()) == 3
        end_it(process, stream, signal.SIGTERM)


@pytest.fixture
def heeds_hangup() -> Iterator[None]:
    """Undo a nohup that these tests may run under: children inherit what is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heeds_hangup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it_and_its_answers(up: Callable[..., Up], ollama: ScriptedOllama, number: int) -> None:
    ollama.default(text("Once"), hang())
    process = up(model={"endpoint": ollama.base_url}, stream={"stall_seconds": 600})
    with StreamClient(process.wait_until_ready(), {"message": "A story!"}) as stream:
        stream.read_text("Once")
        assert len(process.everything()) == 2
        end_it(process, stream, number)


def end_it(process: Up, stream: StreamClient, number: int) -> None:
    """Send a signal as a terminal does, and assert that the answer and all processes end properly."""
    os.killpg(process.pid, number)
    stream.read_all(START_S)
    sse.check(stream.events)
    assert sse.end_of(stream.events)["done_reason"] == "interrupted"
    assert stream.complete
    assert process.wait() == 0
    process.assert_all_ended()
    assert "Traceback" not in process.log


@pytest.mark.usefixtures("heeds_hangup")
def test_several_signals_at_once_are_one_end(up: Callable[..., Up], ollama: ScriptedOllama) -> None:
    """As from a terminal that closes: its own, the shell's and, in the binary, the one that is handed on."""
    process = up(model={"endpoint": ollama.base_url})
    process.wait_until_ready()
    process.everything()
    for number in (signal.SIGSTOP, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.signal(number)
    assert process.wait() == 0
    process.assert_all_ended()
    assert "Traceback" not in process.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_it_starts_leaves_nothing(up: Callable[..., Up], nobody: dict[str, object], number: int) -> None:
    process = up(model=nobody)
    wait_for(process.everything, "it has started something")
    process.signal(number)
    assert process.wait() == 0
    process.assert_all_ended()
    assert "Traceback" not in process.log


def test_killed_while_the_model_loads_it_leaves_nothing(up: Callable[..., Up], nobody: dict[str, object]) -> None:
    process = up(model=nobody)
    wait_for(process.everything, "it has started something")
    process.kill()


@pytest.mark.parametrize("count", [1, 2], ids=["as-it-starts", "with-its-worker"])
def test_killed_before_the_gateway_is_ready_it_leaves_nothing(
    up: Callable[..., Up], ollama: ScriptedOllama, count: int
) -> None:
    process = up(model={"endpoint": ollama.base_url})
    wait_for(lambda: len(process.everything()) == count, "so many processes are there")
    process.kill()


@pytest.mark.deadline(120)
def test_killed_while_answers_stream_it_ends_them_and_the_next_has_the_port(
    up: Callable[..., Up], nobody: dict[str, object]
) -> None:
    port = free_port()
    for _ in range(2):
        process = up(model=nobody, stream={"stall_seconds": 60}, server={"port": port})
        with StreamClient(process.wait_until_ready(), {"message": "Tell me the story of a fox and a river."}) as stream:
            stream.read_until(lambda event: event.is_text, START_S)
            assert len(process.everything()) == 3
            process.kill()
            stream.read_all()
            sse.check(stream.events)
            assert sse.end_of(stream.events)["done_reason"] == "interrupted"
            assert stream.complete
        assert "Traceback" not in process.log


def test_model_that_dies_ends_the_gateway(up: Callable[..., Up], nobody: dict[str, object]) -> None:
    process = up(model=nobody)
    process.wait_until_ready()
    assert_ends_when_killed(process, children_of(process.pid)[0], "embedded model")


def test_gateway_that_dies_ends_it(up: Callable[..., Up], ollama: ScriptedOllama) -> None:
    process = up(model={"endpoint": ollama.base_url})
    process.wait_until_ready()
    assert_ends_when_killed(process, children_of(process.pid)[0], "gateway")


def assert_ends_when_killed(process: Up, victim: int, name: str) -> None:
    """Kill one of its processes, and assert that the rest ends, and says which one was killed."""
    process.everything()
    os.kill(victim, signal.SIGKILL)
    assert process.wait() == 1
    assert f"clawgate: the {name} was ended by signal 9 (Killed): as a rule for want of memory\n" in process.lines
    process.assert_all_ended()


def test_taken_port_ends_it_with_one_line(up: Callable[..., Up], nobody: dict[str, object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = up(model=nobody, server={"port": port})
        wait_for(process.everything, "it has started something")
        assert process.wait(START_S) == 1
    process.assert_all_ended()
    complaints = [line for line in process.lines if line not in process.stdout]
    where = f"server.host and server.port: cannot listen on 127.0.0.1 port {port}"
    assert len(complaints) == 1
    assert complaints[0].startswith(f"clawgate: {where}: Address already in use; it is held by ")
    assert f"(pid {os.getpid()}): stop it with" in complaints[0]


def test_missing_engine_is_named_with_its_cure(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['xllamacpp'] = None\n")
    endpoint = {"endpoint": f"http://127.0.0.1:{free_port()}"}
    process = up(model=endpoint, env={"PYTHONPATH": str(tmp_path)})
    assert process.wait(START_S) == 1
    assert process.stdout == []
    missing, away = process.log.splitlines()
    assert "pip install" in missing
    assert away.startswith(
        f"clawgate: no Ollama answers at {endpoint['endpoint']}: it refused the connection; start it"
    )
