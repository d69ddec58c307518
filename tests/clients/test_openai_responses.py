"""OpenAI's official Python client, unmodified, with the gateway as its Responses API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseInputParam,
    ResponseOutputMessage,
    ResponseReasoningItem,
)

from tests.http.asking import assert_closed, configured, interrupt
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    done,
    error_line,
    hang,
    silence,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.pictures import TINY_GIF

BEAT_S = 1.0
pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": BEAT_S})

ASKING: dict[str, Any] = {"model": DEFAULT_MODEL, "input": "hi"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "wetter",
    "description": "Das Wetter",
    "parameters": {"type": "object", "properties": {"ort": {"type": "string"}}},
    "strict": False,
}
CALL = {"function": {"name": "wetter", "arguments": {"ort": "Köln"}}}


@pytest.fixture(scope="module")
def client(gate: Gateway) -> Iterator[OpenAI]:
    """A client of the module's gateway, with its two retries."""
    with OpenAI(base_url=f"{gate.base_url}/v1", api_key="none") as opened:
        yield opened


def test_a_response(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(texts("Hel", "lo."), done())
    response = client.responses.create(**ASKING, instructions="s", temperature=0.5, max_output_tokens=64)
    assert (response.output_text, response.status, response.model) == ("Hello.", "completed", DEFAULT_MODEL)
    assert (response.tool_choice, response.tools, response.parallel_tool_calls) == ("auto", [], True)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (26, 290, 316)
    assert upstream.chats[0].messages == [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]


def test_a_stream_is_gathered_to_the_same_response(client: OpenAI, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(thinking("h", "m"), text("春"), wait(go), text("光"), tool_calls([CALL]), done())
    with client.responses.stream(**ASKING) as stream:
        thoughts, pieces = [], []
        for event in stream:
            if event.type == "response.reasoning_summary_text.delta":
                thoughts.append(event.delta)
            elif event.type == "response.output_text.delta":
                pieces.append((event.delta, event.snapshot))
                go.set()
        response = stream.get_final_response()
    assert (thoughts, pieces) == (["h", "m"], [("春", "春"), ("光", "春光")])
    thought, said, called = response.output
    assert isinstance(thought, ResponseReasoningItem)
    assert isinstance(said, ResponseOutputMessage)
    assert isinstance(called, ResponseFunctionToolCall)
    assert (thought.summary[0].text, response.output_text) == ("hm", "春光")
    assert (called.name, called.arguments) == ("wetter", '{"ort":"Köln"}')


def test_heartbeats_disturb_nobody(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), silence(2 * BEAT_S), text("b"), done())
    with client.responses.stream(**ASKING) as stream:
        assert stream.get_final_response().output_text == "ab"


def test_tools_go_round(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), tool_calls([CALL]), done())
    conversation: ResponseInputParam = [{"role": "user", "content": "hi"}]
    first = client.responses.create(model=DEFAULT_MODEL, input=conversation, tools=[WEATHER])  # type: ignore[list-item]
    called = first.output[-1]
    assert isinstance(called, ResponseFunctionToolCall)
    conversation += [item.to_dict() for item in first.output]  # type: ignore[misc]
    conversation.append({"type": "function_call_output", "call_id": called.call_id, "output": "nass"})
    upstream.script(text("Regen"), done())
    last = client.responses.create(model=DEFAULT_MODEL, input=conversation, tools=[WEATHER])  # type: ignore[list-item]
    assert last.output_text == "Regen"
    function = {name: WEATHER[name] for name in ("name", "description", "parameters")}
    assert upstream.chats[1].json["tools"] == [{"type": "function", "function": function}]
    assert upstream.chats[1].messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"id": called.call_id, **CALL}]},
        {"role": "tool", "content": "nass", "tool_name": "wetter", "tool_call_id": called.call_id},
    ]


def test_a_picture(client: OpenAI, upstream: ScriptedOllama) -> None:
    address = f"data:image/gif;base64,{TINY_GIF}"
    content: Any = [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": address, "detail": "auto"},
    ]
    client.responses.create(model=DEFAULT_MODEL, input=[{"role": "user", "content": content}])
    assert upstream.chats[0].messages == [{"role": "user", "content": "what?", "images": [TINY_GIF]}]


class Place(pydantic.BaseModel):
    """What a structured answer has."""

    name: str


def test_an_answer_in_a_schema(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text('{"name": "故宫"}'), done())
    response = client.responses.parse(**ASKING, text_format=Place)
    assert response.output_parsed == Place(name="故宫")
    assert upstream.chats[0].json["format"]["properties"]["name"]["type"] == "string"


def test_each_error_is_the_clients_own_and_none_is_asked_again(client: OpenAI, upstream: ScriptedOllama) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.responses.create(**ASKING, previous_response_id="resp_1")
    assert (bad.value.param, bad.value.code) == ("previous_response_id", "bad_request")
    assert "X-Session-Id" in bad.value.message
    with pytest.raises(openai.PermissionDeniedError):
        client.responses.create(model="gpt-5", input="hi")
    assert not upstream.chats
    upstream.script(status(404, {"error": "model 'qwen3:32b' not found"}))
    with pytest.raises(openai.NotFoundError):
        client.responses.create(**ASKING)
    upstream.script(error_line("out of memory"))
    with pytest.raises(openai.InternalServerError) as failed:
        client.responses.create(**ASKING)
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_error")
    assert len(upstream.chats) == 2


def test_an_error_in_a_stream_is_its_end(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), error_line("out of memory"))
    last = [*client.responses.create(**ASKING, stream=True)][-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("server_error", "out of memory")
    assert len(upstream.chats) == 1


def test_a_client_that_leaves_stops_the_model(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with client.responses.stream(**ASKING) as stream:
        next(event for event in stream if event.type == "response.output_text.delta")
    assert_closed(upstream.next_request())


def test_an_interrupt_from_outside_is_an_end(client: OpenAI, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with client.responses.create(**ASKING, stream=True, extra_headers={"X-Session-Id": "s-client"}) as stream:
        next(event for event in stream if event.type == "response.output_text.delta")
        interrupt(gate, "s-client")
        last = [*stream][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "interrupted"
    assert last.response.output_text == "half "
    assert last.response.model_extra is not None
    assert last.response.model_extra["clawgate"] == {"done_reason": "interrupted"}


def test_the_asynchronous_client(gate: Gateway, upstream: ScriptedOllama) -> None:
    async def ask() -> str:
        async with (
            AsyncOpenAI(base_url=f"{gate.base_url}/v1", api_key="none") as opened,
            opened.responses.stream(**ASKING) as stream,
        ):
            return (await stream.get_final_response()).output_text

    upstream.script(texts("春", "光"), done())
    assert asyncio.run(ask()) == "春光"
