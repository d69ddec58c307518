"""The embedded model as its clients see it: real engine and weights in a process of their own, over sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from clawgate.embedded.models import SMOLLM2
from tests.support.client import get, post
from tests.support.embedded import require_embedded
from tests.support.gateway import Gateway
from tests.support.process import ChildProcess
from tests.support.tools import ROOT, require_procfs, wait_for

MODEL_NAME = SMOLLM2.name
LENGTH = 30
GREEDY = {"temperature": 0, "num_predict": LENGTH}
LONG = {"temperature": 0, "num_predict": 1500}
QUESTION = "Name three sights in Beijing."
PARAGRAPHS = "Write a Python function that adds two numbers."
"""Its answer has blank lines before words: a tokenizer splits them otherwise at the end of a text."""

Frame = dict[str, Any]


class Chat:
    """One `POST /api/chat` on a raw socket, so that every byte and every way of leaving can be seen."""

    def __init__(self, url: str, content: str | list[dict[str, str]], **fields: Any) -> None:
        messages = [{"role": "user", "content": content}] if isinstance(content, str) else content
        body = json.dumps({"model": MODEL_NAME, "messages": messages, "options": GREEDY, **fields}).encode()
        address = urlsplit(url)
        self.sock = socket.create_connection((address.hostname, address.port), timeout=30)
        head = f"POST /api/chat HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.sock.sendall(head.encode() + body)
        self._file = self.sock.makefile("rb")

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave as a closed browser does."""
        self._file.close()
        self.sock.close()

    def head(self) -> list[str]:
        """Read the status line and the header."""
        lines = []
        while line := self._file.readline().rstrip(b"\r\n"):
            lines.append(line.decode())
        return lines

    def chunks(self) -> Iterator[bytes]:
        """Read the header and then each chunk, to the terminating one."""
        self.head()
        while size := int(self._file.readline(), 16):
            yield self._file.read(size)
            assert self._file.readline() == b"\r\n"
        assert self._file.readline() == b"\r\n"

    def frames(self) -> list[Frame]:
        """Read all frames."""
        return [json.loads(chunk) for chunk in self.chunks()]


def answer(url: str, content: str | list[dict[str, str]], **fields: Any) -> list[str]:
    """Ask and return the pieces of the answer."""
    with Chat(url, content, **fields) as chat:
        return [frame["message"]["content"] for frame in chat.frames() if not frame["done"]]


def start(*arguments: str) -> ChildProcess:
    """Start the command; the engine and the weights must be there."""
    require_embedded()
    return ChildProcess(
        [sys.executable, "-m", "clawgate.embedded", "--port", "0", *arguments], cwd=ROOT, name="embedded"
    )


def url_of(process: ChildProcess) -> str:
    """Wait for the readiness line."""
    return process.wait_for_line(rf"^Embedded model {MODEL_NAME} on (http://127\.0\.0\.1:\d+)$", stdout_only=True)[1]


@pytest.fixture(scope="module")
def embedded() -> Iterator[ChildProcess]:
    """One process for the tests that leave it as it was."""
    process = start()
    yield process
    process.stop()
    print(process.log)


@pytest.fixture
def url(embedded: ChildProcess) -> str:
    """Return its address."""
    return url_of(embedded)


def cpu_s(process: ChildProcess) -> float:
    """The CPU time that the process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_idle(process: ChildProcess) -> bool:
    """Tell whether the process computes nothing for a while."""
    before = cpu_s(process)
    threading.Event().wait(0.15)
    return cpu_s(process) - before <= 0.02


def test_start_prints_one_line_and_stays_silent(embedded: ChildProcess, url: str) -> None:
    answer(url, "Hi")
    assert embedded.log == f"Embedded model {MODEL_NAME} on {url}\n"


def test_lists_have_ollamas_shapes(url: str) -> None:
    assert get(url, "/").json == "Ollama is running"
    assert get(url, "/api/version").json["version"].startswith("0.24.0")
    answer(url, "Hi")
    listed, running = get(url, "/api/tags").json["models"], get(url, "/api/ps").json["models"]
    assert [model["name"] for model in listed] == [model["name"] for model in running] == [MODEL_NAME]
    assert listed[0]["details"]["family"] == "llama"
    assert post(url, "/api/show", {"model": "smollm2"}).json["capabilities"] == ["completion"]
    assert post(url, "/api/show", {"model": "qwen3:32b"}).status == 404


def test_stream_is_framed_as_ollamas(url: str) -> None:
    with Chat(url, QUESTION) as chat:
        head = chat.head()
    assert head[0] == "HTTP/1.1 200 OK"
    assert {"Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"} < set(head)

    with Chat(url, QUESTION) as chat:
        chunks = list(chat.chunks())
    assert all(chunk.endswith(b"\n") and chunk.count(b"\n") == 1 for chunk in chunks)
    frames = [json.loads(chunk) for chunk in chunks]
    last = frames[-1]
    assert [frame["done"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done_reason"], last["eval_count"], len(frames)) == ("length", LENGTH, LENGTH + 1)
    for name in ("total", "load", "prompt_eval", "eval"):
        assert type(last[f"{name}_duration"]) is int
    assert last["prompt_eval_count"] > 10


def test_no_byte_leaves_before_the_first_frame(url: str) -> None:
    with Chat(url, "Hello. " * 60, stream=True) as chat:  # its prompt takes a good while
        first = chat.sock.recv(65536)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"done":false}\n\r\n' in first.partition(b"\r\n\r\n")[2]


def test_answer_is_one_object_without_streaming(url: str) -> None:
    reply = post(
        url,
        "/api/chat",
        {
            "model": "smollm2",
            "messages": [{"role": "user", "content": QUESTION}],
            "options": GREEDY,
            "stream": False,
        },
    )
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.json["model"] == "smollm2"
    assert reply.json["message"]["content"] == "".join(answer(url, QUESTION))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "qwen3:32b", "messages": []}, 404, "model 'qwen3:32b' not found"),
        (b"{", 400, "truncated"),
        (b"", 400, "missing request body"),
        ({"messages": []}, 400, "model is required"),
        ({"model": MODEL_NAME, "messages": "Hi"}, 400, "messages"),
        ({"model": MODEL_NAME, "messages": [{"role": "user", "content": "Hi"}], "think": True}, 400, "thinking"),
        ({"model": MODEL_NAME, "messages": [{"role": "user", "content": "Hi"}], "tools": [{}]}, 400, "tools"),
        ({"model": MODEL_NAME, "messages": [{"role": "user", "content": "Hi", "images": ["aGk="]}]}, 400, "vision"),
        (
            {"model": MODEL_NAME, "messages": [{"role": "user", "content": "Hi"}], "options": {"top_p": "x"}},
            500,
            "type",
        ),
        ({"model": MODEL_NAME, "messages": [{"role": "user", "content": "Hi"}], "format": {"type": 3}}, 400, "type"),
        (
            {"model": MODEL_NAME, "messages": [{"role": "user", "content": "Hi " * 5000}], "truncate": False},
            400,
            "context",
        ),
    ],
)
def test_errors_are_a_status_and_a_text(url: str, body: Any, status: int, words: str) -> None:
    reply = post(url, "/api/chat", body)
    assert reply.status == status
    assert words in reply.json["error"]


def test_foreign_host_and_origin_get_an_empty_403(url: str) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        reply = get(url, "/api/version", headers=headers)
        assert (reply.status, reply.json) == (403, None)
    assert get(url, "/nowhere").json == "404 page not found"


@pytest.mark.parametrize("question", [QUESTION, PARAGRAPHS])
def test_cut_answer_goes_on_as_if_uncut(url: str, question: str) -> None:
    pieces = answer(url, question)
    blank = [index + 1 for index in range(1, len(pieces)) if pieces[index - 1 : index + 1] == ["\n", "\n"]]
    assert blank or question == QUESTION
    for cut in {1, 8, 19, LENGTH - 1, *blank}:
        said = "".join(pieces[:cut])
        rest = answer(
            url,
            [{"role": "user", "content": question}, {"role": "assistant", "content": said}],
            options={**GREEDY, "num_predict": LENGTH - cut},
        )
        assert rest == pieces[cut:], f"cut after {said!r}"


def test_greedy_answer_is_the_same_after_other_prompts(url: str) -> None:
    first = answer(url, QUESTION)
    answer(url, "Hello. " * 10)
    answer(url, [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "1. The"}])
    assert answer(url, QUESTION) == first


def test_characters_of_several_tokens_arrive_whole(url: str) -> None:
    with Chat(url, "写一首关于春天的诗") as chat:
        text = "".join(json.loads(chunk.decode())["message"]["content"] for chunk in chat.chunks())
    assert any("\u4e00" <= character <= "\u9fff" for character in text)
    assert "\ufffd" not in text


def test_format_makes_json(url: str) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    assert set(json.loads("".join(answer(url, "Is water wet?", format=schema)))) == {"ok"}


def test_hang_up_while_answering_frees_the_model(embedded: ChildProcess, url: str) -> None:
    require_procfs()
    with Chat(url, QUESTION, options=LONG) as chat:
        assert next(chat.chunks())
    left_at = time.monotonic()
    assert len(answer(url, "Hi", options={"num_predict": 1})) == 1
    assert time.monotonic() - left_at < 2  # the long answer would take ten times that
    wait_for(lambda: is_idle(embedded), "the engine rests", 3)


def test_hang_up_while_reading_the_prompt_frees_the_model(embedded: ChildProcess, url: str) -> None:
    require_procfs()
    before = cpu_s(embedded)
    chat = Chat(url, "Go on. " * 1000)  # some 3,000 tokens: 20 s and more
    wait_for(lambda: cpu_s(embedded) > before + 0.3, "the engine reads the prompt")
    chat.close()
    wait_for(lambda: is_idle(embedded), "the engine rests", 3)


def test_clients_take_turns(url: str) -> None:
    finished: list[tuple[str, list[Frame]]] = []

    def ask(name: str) -> None:
        with Chat(url, name) as chat:
            frames = chat.frames()
            finished.append((name, frames))

    threads = [threading.Thread(target=ask, args=(f"Greet {name}.",)) for name in ("Ann", "Bob", "Cem")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(finished) == 3
    assert all(frames[-1]["done"] for _, frames in finished)
    spans = sorted((frames[0]["created_at"], frames[-1]["created_at"]) for _, frames in finished)
    assert all(one[1] <= next_one[0] for one, next_one in pairwise(spans)), "two answers at once"


def test_client_that_left_the_queue_is_not_served(embedded: ChildProcess, url: str) -> None:
    require_procfs()
    with Chat(url, QUESTION, options=LONG) as ahead:
        assert next(ahead.chunks())
        Chat(url, QUESTION, options=LONG).close()
    wait_for(lambda: is_idle(embedded), "the engine rests", 3)


def test_gateway_before_it_tells_how_full_its_context_is(url: str, tmp_path: Path) -> None:
    ask = {"message": QUESTION, "options": GREEDY, "stream": False}
    with Gateway({"model": {"endpoint": url, "model_name": MODEL_NAME}}, tmp_path) as gateway:

        def told() -> Any:
            return gateway.post("/api/chat", ask).json["stats"].get("context")

        def is_told(size: int) -> bool:
            return bool((told() or {}).get("size") == size)

        context = wait_for(told, "the size is known")
        assert context["size"] == 4096 == get(url, "/api/ps").json["models"][0]["context_length"]
        assert LENGTH < context["used"] < 200
        wait_for(lambda: f"context={context['used']}/4096 " in gateway.log, "the log has it")
        for asked, size in ((512, 512), (100_000, 8192)):
            ask["options"] = {**GREEDY, "num_ctx": asked}  # long enough that the size is told before the end
            wait_for(partial(is_told, size), f"{asked} is told as {size}")
            assert get(url, "/api/ps").json["models"][0]["context_length"] == size


def test_empty_messages_load_and_unload(url: str) -> None:
    for keep_alive, reason, running in ((0, "unload", 0), ("5m", "load", 1)):
        reply = post(url, "/api/chat", {"model": MODEL_NAME, "messages": [], "keep_alive": keep_alive})
        assert (reply.json["done_reason"], reply.json["done"]) == (reason, True)
        assert len(get(url, "/api/ps").json["models"]) == running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_in_the_middle_of_an_answer(number: int) -> None:
    process = start()
    try:
        with Chat(url_of(process), QUESTION, options=LONG) as chat:
            assert next(chat.chunks())
            process.signal(number)
            assert process.wait(3) == 0
        assert "Traceback" not in process.log
    finally:
        process.stop()


def test_weights_that_are_none_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "note.gguf"
    file.write_text("no model")
    process = start("--weights", str(file))
    assert process.wait() == 1
    process.stop()
    assert process.log == f"clawgate: embedded: {file} is not a GGUF file\n"
