"""Ollama's library for Node, unmodified, pointed at the gateway in place of Ollama: one process runs all cases."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured, contents, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    ScriptedOllama,
    Step,
    chunk,
    done,
    error_line,
    hang,
    status,
    text,
    texts,
    thinking,
    tool_calls,
)
from tests.support.ollama_routes import VERSION
from tests.support.tools import DEADLINE_S, require, require_package

pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 5, "stall_seconds": 30})

MODEL = "qwen3:32b"
WORDS = "春光\u2028满\u0085园<&>🐉"
CALL = {"function": {"name": "add", "arguments": {"a": 1}}}
GENERATED = b'{"response":"a"}\n{"response":"b"}\n{"response":"","done":true,"done_reason":"stop"}\n'
REFUSED = {
    "error": "this gateway neither brings nor changes nor removes models; do that where Ollama runs",
    "status": 403,
}


class Node:
    """The process that runs the cases; they are asked for and told line by line."""

    def __init__(self, base_url: str) -> None:
        node = require("node", "the client is a JavaScript library")
        script = Path(__file__).with_name("ollama_cases.mjs")
        command = [node, str(script), base_url, require_package("ollama")]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, name: str) -> None:
        """Begin a case."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{name}\n")
        self._child.stdin.flush()

    def told(self) -> Any:
        """Return what the next line says."""
        assert self._child.stdout is not None
        return json.loads(self._child.stdout.readline())

    def stop(self) -> None:
        """End the process; it ends by itself when nothing more is asked."""
        self._child.communicate(timeout=DEADLINE_S)
        assert self._child.returncode == 0


@pytest.fixture(scope="module")
def node(gate: Gateway) -> Iterator[Node]:
    """The module's process."""
    started = Node(gate.base_url)
    yield started
    started.stop()


CASES: dict[str, tuple[tuple[Step, ...], Any]] = {
    "chat": ((texts(*WORDS), done()), {"role": "assistant", "content": WORDS}),
    "stream": ((texts(*WORDS), done("length")), {"text": WORDS, "end": "length"}),
    "thinking": ((thinking("H", "m"), text("a"), done()), {"text": "Hm", "end": "stop"}),
    "tools": ((tool_calls([CALL]), done()), [CALL]),
    "image": ((text("a dot"), done()), {"role": "assistant", "content": "a dot"}),
    "format": ((text('{"a": 1}'), done()), {"a": 1}),
    "prompt": ((chunk(GENERATED), done()), {"text": "ab", "end": "stop"}),
    "load": ((), "unload"),
    "models": ((), [1, 1, 1]),
    "version": ((), VERSION),
    "embed": ((), [[0.1, 0.2, 0.3]]),
    "pull": ((), REFUSED),
    "missing": ((status(404, {"error": "model 'x' not found"}),), {"error": "model 'x' not found", "status": 404}),
    "midway": ((text("a"), error_line("out of memory")), {"error": "out of memory"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_comes_out_as_with_ollama(node: Node, gate: Gateway, upstream: ScriptedOllama, name: str) -> None:
    del gate
    steps, expected = CASES[name]
    upstream.loaded.append(MODEL)
    if steps:
        upstream.script(*steps, path="/api/generate" if name == "prompt" else "/api/chat")
    node.begin(name)
    assert node.told() == expected
    if name == "image":
        assert upstream.chats[0].json["messages"][0]["images"] == ["iVBORw0KGgo="]


def test_an_abort_stops_the_model(node: Node, gate: Gateway, upstream: ScriptedOllama) -> None:
    del gate
    upstream.script(text("half "), hang())
    node.begin("abort")
    assert [node.told(), node.told()] == ["half ", "AbortError"]
    assert_closed(upstream.chats[0])


def test_an_interrupt_reaches_it_by_its_session(node: Node, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    node.begin("interrupt")
    assert node.told() == [True, {"text": "half ", "end": "interrupted"}]
    assert contents(session(gate, "s-node")["messages"]) == [("user", "hi"), ("assistant", "half ")]
