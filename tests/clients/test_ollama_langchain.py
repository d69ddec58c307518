"""LangChain's ChatOllama, unmodified, pointed at the gateway in place of Ollama."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from ollama import ResponseError
from pydantic import BaseModel

from tests.http.asking import assert_closed, configured, contents, interrupt, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_STATS,
    ScriptedOllama,
    done,
    error_line,
    hang,
    status,
    text,
    texts,
    thinking,
    tool_calls,
)
from tests.support.pictures import png

pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": 1.0, "stall_seconds": 30})

MODEL = "qwen3:32b"
WORDS = "春光\u2028满\u0085园"
CALL = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}


class Sight(BaseModel):
    """A sight."""

    name: str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@contextmanager
def made(gate: Gateway, **fields: Any) -> Iterator[ChatOllama]:
    """Make a model whose connections end with the block."""
    model = ChatOllama(model=MODEL, base_url=gate.base_url, **fields)
    with model._client:
        yield model


@pytest.fixture
def model(gate: Gateway) -> Iterator[ChatOllama]:
    """A model for one test."""
    with made(gate) as chat:
        yield chat


def test_a_question_is_answered(model: ChatOllama, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*WORDS), done())
    answer = model.invoke([("system", "Be brief"), ("human", "hi")])
    assert answer.content == WORDS
    assert answer.response_metadata["done_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == DEFAULT_STATS["eval_count"]
    assert [message["role"] for message in upstream.chats[0].json["messages"]] == ["system", "user"]


def test_an_answer_is_streamed_with_its_thinking(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("H", "m"), texts(*WORDS), done())
    with made(gate, reasoning=True, temperature=0) as model:
        whole = None
        for part in model.stream("hi"):
            whole = part if whole is None else whole + part
    assert whole is not None
    assert (whole.content, whole.additional_kwargs["reasoning_content"]) == (WORDS, "Hm")
    assert upstream.chats[0].json["think"] is True
    assert upstream.chats[0].json["options"] == {"temperature": 0}


def test_a_tool_is_called_and_its_result_goes_back(model: ChatOllama, upstream: ScriptedOllama) -> None:
    upstream.script(tool_calls([CALL]), done())
    with_tools = model.bind_tools([add])
    conversation: list[BaseMessage] = [HumanMessage("1 + 2?")]
    called = with_tools.invoke(conversation)
    assert [(each["name"], each["args"]) for each in called.tool_calls] == [("add", {"a": 1, "b": 2})]
    result = ToolMessage(str(add.invoke(called.tool_calls[0]["args"])), tool_call_id=called.tool_calls[0]["id"])
    upstream.script(text("3"), done())
    assert with_tools.invoke([*conversation, called, result]).content == "3"
    asked = upstream.chats[1].json
    assert asked["messages"][1]["tool_calls"][0]["function"] == CALL["function"]
    assert asked["messages"][2]["content"] == "3"
    assert asked["tools"][0]["function"]["name"] == "add"


def test_an_answer_has_a_form(model: ChatOllama, upstream: ScriptedOllama) -> None:
    upstream.script(text('{"name": "故宫"}'), done())
    assert model.with_structured_output(Sight).invoke("a sight?") == Sight(name="故宫")
    assert upstream.chats[0].json["format"]["properties"] == {"name": {"title": "Name", "type": "string"}}


def test_a_picture_arrives(model: ChatOllama, upstream: ScriptedOllama) -> None:
    encoded = base64.b64encode(png(200)).decode()
    picture = {"type": "image_url", "image_url": f"data:image/png;base64,{encoded}"}
    model.invoke([HumanMessage([{"type": "text", "text": "what is this?"}, picture])])
    assert upstream.chats[0].json["messages"][0]["images"] == [encoded]


def test_the_model_is_looked_up_first_where_that_is_wanted(gate: Gateway, upstream: ScriptedOllama) -> None:
    with made(gate, validate_model_on_init=True):
        assert [request.path for request in upstream.asked] == ["/api/tags"]


def test_an_error_is_ollamas(model: ChatOllama, upstream: ScriptedOllama) -> None:
    upstream.script(status(400, {"error": "does not support tools"}))
    with pytest.raises(ResponseError, match="does not support tools") as caught:
        model.invoke("hi")
    assert caught.value.status_code == 400
    upstream.script(text("a"), error_line("out of memory"))
    with pytest.raises(ResponseError, match="out of memory"):
        model.invoke("hi")


def test_who_leaves_stops_the_model(model: ChatOllama, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    parts = model.stream("hi")
    assert next(parts).content == "half "
    parts.close()  # type: ignore[attr-defined] # the generator that it is
    assert_closed(upstream.chats[0])


def test_an_interrupt_reaches_it_by_its_session(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with made(gate, client_kwargs={"headers": {"X-Session-Id": "s-chain"}}) as model:
        parts = model.stream("hi")
        assert next(parts).content == "half "
        assert interrupt(gate, "s-chain")["interrupted"] is True
        last = [part.response_metadata for part in parts if part.response_metadata]
    assert last[-1]["done_reason"] == "interrupted"
    assert contents(session(gate, "s-chain")["messages"]) == [("user", "hi"), ("assistant", "half ")]


def test_texts_are_embedded(gate: Gateway, upstream: ScriptedOllama) -> None:
    embeddings = OllamaEmbeddings(model=MODEL, base_url=gate.base_url)
    assert embeddings._client is not None
    with embeddings._client:
        assert embeddings.embed_documents(["a"]) == [[0.1, 0.2, 0.3]]
    assert upstream.requests[-1].json["input"] == ["a"]
