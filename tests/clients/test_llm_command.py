"""The `llm` command with its Ollama plugin, unmodified, pointed at the gateway in place of Ollama."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.asking import assert_closed, configured, interrupt
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, status, text, texts, thinking, tool_calls
from tests.support.pictures import png
from tests.support.tools import DEADLINE_S, require

pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 1.0, "stall_seconds": 30})

WORDS = "春光\u2028满\u0085园"
ABLE = {"capabilities": ["completion", "vision", "thinking", "tools"], "details": {}, "model_info": {}}
CALL = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
Command = subprocess.Popen[str]
Llm = Callable[..., Command]


@pytest.fixture
def llm(gate: Gateway, upstream: ScriptedOllama, tmp_path: Path) -> Iterator[Llm]:
    """Start the command with a folder of its own. It asks what models there are, and once what each can."""
    require("llm", "the test runs it")
    upstream.script(status(200, ABLE), path="/api/show")
    env = {
        **os.environ,
        "OLLAMA_HOST": gate.base_url,
        "OLLAMA_HEADERS": "X-Session-Id=s-llm",
        "LLM_LOAD_PLUGINS": "llm-ollama",
        "LLM_USER_PATH": str(tmp_path),
        "PYTHONIOENCODING": "utf-8",
    }
    pipe = subprocess.PIPE
    with ExitStack() as stack:

        def start(*arguments: str) -> Command:
            command = [sys.executable, "-m", "llm", "prompt", "--no-log", "-m", "ollama/qwen3:32b", *arguments]
            child = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, encoding="utf-8"
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            return child

        yield start


def said(child: Command) -> str:
    """Wait for the end of the command, and return what it printed."""
    out, errors = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0, errors
    return out


def test_a_question_is_answered_in_a_stream(llm: Llm, upstream: ScriptedOllama, tmp_path: Path) -> None:
    """With a picture, thinking, and a tool that the command runs."""
    upstream.script(thinking("Hm"), tool_calls([CALL]), done())
    upstream.script(texts(*WORDS), done())
    (picture := tmp_path / "a.png").write_bytes(png(200))
    functions = "def add(a: int, b: int) -> int:\n    return a + b\n"
    child = llm("hi", "-a", str(picture), "-o", "think", "true", "-s", "Be brief", "--functions", functions)
    assert said(child) == f"{WORDS}\n"
    asked, again = (chat.json for chat in upstream.chats)
    assert [message["content"] for message in asked["messages"]] == ["Be brief", "hi"]
    assert asked["messages"][1]["images"] == [base64.b64encode(picture.read_bytes()).decode()]
    assert (asked["think"], asked["tools"][0]["function"]["name"]) == (True, "add")
    assert again["messages"][-1] == {"role": "tool", "tool_name": "add", "content": "3"}
    assert [request.path for request in upstream.requests[:3]] == ["/api/tags", "/api/show", "/api/chat"]


def test_an_answer_of_a_form_is_interrupted_by_its_session(llm: Llm, upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(text('{"name": '), hang())
    child = llm("a sight?", "--schema", "name str")
    request = upstream.next_request()
    assert request.json["format"]["properties"] == {"name": {"type": "string"}}
    assert child.stdout is not None
    assert child.stdout.read(1) == "{"
    assert interrupt(gate, "s-llm")["interrupted"] is True
    assert child.stdout.read() == '"name": \n'
    assert child.wait(DEADLINE_S) == 0


def test_who_leaves_stops_the_model(llm: Llm, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    child = llm("hi")
    request = upstream.next_request()
    child.terminate()
    assert_closed(request)
