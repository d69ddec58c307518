"""ollama-python, unmodified, pointed at the gateway in place of Ollama."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import ollama
import pytest
from ollama import AsyncClient, Client, ResponseError

from tests.http.asking import assert_closed, configured, contents, interrupt, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_STATS,
    ScriptedOllama,
    chunk,
    done,
    drop,
    error_line,
    hang,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.pictures import png

pytestmark = configured(
    model={"allowed_models": ["embedder"]},
    stream={"smoothing_ms": 0, "heartbeat_seconds": 1.0, "stall_seconds": 30},
)

MODEL = "qwen3:32b"
QUESTION = [{"role": "user", "content": "hi"}]
WORDS = "春光\u2028满\u2029园\u0085 <关>&\n不住🐉"
CALL = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}


@pytest.fixture
def client(gate: Gateway) -> Iterator[Client]:
    """A client whose connections end with the test."""
    with Client(gate.base_url) as made:
        yield made


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
      a: the first
      b: the second
    """
    return a + b


def test_a_chat_is_an_answer(client: Client, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*WORDS), done())
    answer = client.chat(MODEL, QUESTION, options={"temperature": 0})
    assert (answer.message.content, answer.done_reason, answer.model) == (WORDS, "stop", MODEL)
    assert answer.eval_duration == DEFAULT_STATS["eval_duration"]
    assert upstream.chats[0].json["options"] == {"temperature": 0}


def test_a_chat_is_a_stream(client: Client, upstream: ScriptedOllama) -> None:
    """Heartbeats are frames without text, and no line is cut where Python cuts lines."""
    go = threading.Event()
    upstream.script(texts(*WORDS), wait(go), text("!"), done())
    said = []
    for part in client.chat(MODEL, QUESTION, stream=True):
        said.append(part.message.content)
        if said[-1] == "":  # the heartbeat of the silence
            go.set()
    assert "".join(map(str, said)) == WORDS + "!"
    assert (part.done, part.done_reason, part.eval_count) == (True, "stop", DEFAULT_STATS["eval_count"])


def test_thinking_is_apart(client: Client, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("H", "m"), text("Yes"), done())
    parts = list(client.chat(MODEL, QUESTION, think="high", stream=True))
    assert "".join(part.message.thinking or "" for part in parts) == "Hm"
    assert "".join(part.message.content or "" for part in parts) == "Yes"
    assert upstream.chats[0].json["think"] == "high"


def test_a_tool_is_called_and_its_result_goes_back(client: Client, upstream: ScriptedOllama) -> None:
    upstream.script(tool_calls([CALL]), done())
    answer = client.chat(MODEL, QUESTION, tools=[add])
    assert answer.message.tool_calls is not None
    called = answer.message.tool_calls[0].function
    result = {"role": "tool", "tool_name": called.name, "content": str(add(**called.arguments))}
    upstream.script(text("3"), done())
    assert client.chat(MODEL, [*QUESTION, answer.message, result], tools=[add]).message.content == "3"
    asked = upstream.chats[1].json
    assert asked["messages"][1:] == [{"role": "assistant", "content": "", "tool_calls": [CALL]}, result]
    assert asked["tools"][0]["function"]["parameters"]["properties"]["a"]["type"] == "integer"


def test_a_picture_arrives(client: Client, upstream: ScriptedOllama) -> None:
    picture = png(200)
    client.chat(MODEL, [{**QUESTION[0], "images": [picture]}])
    client.generate(MODEL, "what is this?", images=[picture])
    encoded = [base64.b64encode(picture).decode()]
    assert upstream.chats[0].json["messages"][0]["images"] == encoded
    assert upstream.requests[-1].json["images"] == encoded


@pytest.mark.parametrize("wanted", ["json", {"type": "object", "properties": {"a": {"type": "integer"}}}])
def test_an_answer_has_a_form(client: Client, upstream: ScriptedOllama, wanted: Any) -> None:
    upstream.script(text('{"a": 1}'), done())
    assert client.chat(MODEL, QUESTION, format=wanted).message.content == '{"a": 1}'
    assert upstream.chats[0].json["format"] == wanted


def test_a_prompt_is_an_answer_and_a_stream(client: Client, upstream: ScriptedOllama) -> None:
    frames = b'{"model":"m","response":"a\\u0085"}\n{"response":"b","thinking":""}\n'
    last = b'{"response":"","done":true,"done_reason":"stop","context":[1,2],"eval_count":2}\n'
    for _ in range(2):
        upstream.script(chunk(frames + last), done(), path="/api/generate")
    answer = client.generate(MODEL, "hi", system="Be brief", raw=False, suffix="", context=[7])
    assert (answer.response, answer.context, answer.eval_count) == ("a\u0085b", [1, 2], 2)
    asked = upstream.requests[-1].json
    assert (asked["prompt"], asked["system"], asked["context"]) == ("hi", "Be brief", [7])
    parts = list(client.generate(MODEL, "hi", stream=True))
    assert ("".join(part.response or "" for part in parts), parts[-1].context) == ("a\u0085b", [1, 2])


def test_a_model_is_loaded_and_unloaded(client: Client, upstream: ScriptedOllama) -> None:
    assert client.generate(MODEL).done_reason == "load"
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert client.chat(MODEL, keep_alive="0s").done_reason == "unload"
    assert client.chat(MODEL).done_reason == "load"
    assert upstream.requests[-1].json["messages"] == []


def test_what_there_is_and_what_it_can(client: Client, upstream: ScriptedOllama) -> None:
    upstream.models += ["embedder", "secret:7b"]
    client.chat(MODEL, QUESTION)
    assert [each.model for each in client.list().models] == [MODEL, "embedder"]
    assert [each.model for each in client.ps().models] == [MODEL]
    assert client.show(MODEL).capabilities == ["completion", "tools", "thinking"]
    assert client.embed("embedder", ["a", "b"]).embeddings == [[0.1, 0.2, 0.3]]
    assert client.embeddings("embedder", "a").embedding == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda client: client.pull("x"), "where Ollama runs"),
        (lambda client: list(client.pull("x", stream=True)), "where Ollama runs"),
        (lambda client: client.push("x"), "where Ollama runs"),
        (lambda client: client.create("x", from_="y"), "where Ollama runs"),
        (lambda client: client.delete("x"), "where Ollama runs"),
        (lambda client: client.copy("x", "y"), "where Ollama runs"),
        (lambda client: client.create_blob(__file__), "where Ollama runs"),
        (lambda client: client.show("secret:7b"), f"expected one of {MODEL}, embedder"),
        (lambda client: client.chat("secret:7b", QUESTION), f"expected one of {MODEL}, embedder"),
        (lambda client: list(client.generate("secret:7b", "hi", stream=True)), f"expected one of {MODEL}, embedder"),
    ],
)
def test_what_is_forbidden_says_why(
    client: Client, upstream: ScriptedOllama, change: Callable[[Client], object], words: str
) -> None:
    with pytest.raises(ResponseError, match=words) as caught:
        change(client)
    assert caught.value.status_code == 403
    assert upstream.asked == []


ASK: dict[str, Callable[[Client], object]] = {
    "whole": lambda client: client.chat(MODEL, QUESTION),
    "streamed": lambda client: list(client.chat(MODEL, QUESTION, stream=True)),
}


@pytest.mark.parametrize("ask", ASK)
def test_an_error_is_ollamas(client: Client, upstream: ScriptedOllama, ask: str) -> None:
    upstream.script(status(400, {"error": '"m" does not support thinking'}))
    upstream.script(text("a"), error_line("out of memory"))
    said = []
    for models in ([MODEL], [MODEL], []):
        upstream.models = models
        with pytest.raises(ResponseError) as caught:
            ASK[ask](client)
        said.append((caught.value.error, caught.value.status_code))
    midway = 502 if ask == "whole" else -1
    assert said == [
        ('"m" does not support thinking', 400),
        ("out of memory", midway),
        (f"model '{MODEL}' not found", 404),
    ]


def test_who_leaves_stops_the_model(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with Client(gate.base_url) as client:
        parts = client.chat(MODEL, QUESTION, stream=True)
        assert next(parts).message.content == "half "
        parts.close()
        assert_closed(upstream.chats[0])


def test_an_interrupt_reaches_it_by_its_run_or_its_session(gate: Gateway, upstream: ScriptedOllama) -> None:
    runs: list[str] = []

    def note(response: httpx.Response) -> None:
        runs.append(response.headers["X-Run-Id"])

    with Client(gate.base_url, event_hooks={"response": [note]}, headers={"X-Session-Id": "s-python"}) as client:
        for is_by_run in (True, False):
            upstream.script(text("half "), hang())
            parts = client.chat(MODEL, QUESTION, stream=True)
            assert next(parts).message.content == "half "
            asked = interrupt(gate, run_id=runs[-1]) if is_by_run else interrupt(gate, "s-python")
            assert asked["partial"] == "half "
            assert list(parts)[-1].done_reason == "interrupted"
    assert contents(session(gate, "s-python")["messages"]) == [("user", "hi"), ("assistant", "half ")]


def test_a_cut_on_the_way_to_ollama_is_not_seen(client: Client, upstream: ScriptedOllama) -> None:
    upstream.script(text("春光 "), drop())
    upstream.script(text("明媚"), done())
    assert client.chat(MODEL, QUESTION).message.content == "春光 明媚"


def test_the_asynchronous_client_streams_too(gate: Gateway, upstream: ScriptedOllama) -> None:
    async def ask() -> str:
        said = ""
        async with AsyncClient(gate.base_url) as client:
            async for part in await client.chat(MODEL, QUESTION, stream=True):
                said += part.message.content or ""
        return said

    upstream.script(texts(*WORDS), done())
    assert asyncio.run(ask()) == WORDS


def test_the_address_comes_from_the_environment(
    gate: Gateway, upstream: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    del upstream
    monkeypatch.setenv("OLLAMA_HOST", gate.base_url)
    with contextlib.closing(ollama.Client()) as client:
        assert client.chat(MODEL, QUESTION).message.content == "Hello."
