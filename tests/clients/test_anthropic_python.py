"""Anthropic's official Python client, unmodified, with the gateway as its API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import pydantic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, TextBlock, ThinkingBlock, ToolParam, ToolUseBlock

from tests.http.asking import assert_closed, configured
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
pytestmark = configured(stream={"smoothing_ms": 0, "heartbeat_seconds": BEAT_S}, server={"auth_token": "s3cret-token"})

TOKEN = "s3cret-token"
ASKING: dict[str, Any] = {"model": DEFAULT_MODEL, "max_tokens": 64}
QUESTION: list[MessageParam] = [{"role": "user", "content": "hi"}]
WEATHER: ToolParam = {
    "name": "wetter",
    "description": "Das Wetter",
    "input_schema": {"type": "object", "properties": {"ort": {"type": "string"}}},
}
CALL = {"function": {"name": "wetter", "arguments": {"ort": "Köln"}}}


@pytest.fixture(scope="module")
def client(gate: Gateway) -> Iterator[Anthropic]:
    """A client of the module's gateway, with its two retries."""
    with Anthropic(base_url=gate.base_url, auth_token=TOKEN) as opened:
        yield opened


def test_a_message(client: Anthropic, upstream: ScriptedOllama) -> None:
    upstream.script(texts("Hel", "lo."), done())
    message = client.messages.create(**ASKING, messages=QUESTION, system="s")
    assert message.content == [TextBlock(type="text", text="Hello.")]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 26, 290)
    assert upstream.chats[0].messages == [{"role": "system", "content": "s"}, *QUESTION]


def test_a_stream_is_gathered_to_the_same_message(client: Anthropic, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(thinking("h", "m"), text("春"), wait(go), text("光"), tool_calls([CALL]), done("length"))
    with client.messages.stream(**ASKING, messages=QUESTION) as stream:
        pieces = []
        for piece in stream.text_stream:
            pieces.append(piece)
            go.set()
        message = stream.get_final_message()
    assert pieces == ["春", "光"]
    thought, said, used = message.content
    assert thought == ThinkingBlock(type="thinking", thinking="hm", signature="")
    assert isinstance(said, TextBlock)
    assert isinstance(used, ToolUseBlock)
    assert said.text == "春光"
    assert (used.name, used.input, message.stop_reason) == ("wetter", {"ort": "Köln"}, "tool_use")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (26, 290)


def test_heartbeats_disturb_nobody(client: Anthropic, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), silence(2 * BEAT_S), text("b"), done())
    with client.messages.stream(**ASKING, messages=QUESTION) as stream:
        assert stream.get_final_text() == "ab"


def test_tools_go_round(client: Anthropic, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), tool_calls([CALL]), done())
    asking: dict[str, Any] = {**ASKING, "tools": [WEATHER], "thinking": {"type": "adaptive"}}
    first = client.messages.create(messages=QUESTION, **asking)
    used = first.content[-1]
    assert isinstance(used, ToolUseBlock)
    upstream.script(text("Regen"), done())
    result: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": used.id, "content": "nass", "is_error": False}],
    }
    last = client.messages.create(messages=[*QUESTION, first.to_param(), result], **asking)
    assert last.content == [TextBlock(type="text", text="Regen")]
    assert upstream.chats[1].json["tools"] == [
        {
            "type": "function",
            "function": {"name": "wetter", "description": "Das Wetter", "parameters": WEATHER["input_schema"]},
        }
    ]
    assert upstream.chats[1].json["think"] is True
    assert upstream.chats[1].messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"id": used.id, **CALL}]},
        {"role": "tool", "content": "nass", "tool_name": "wetter", "tool_call_id": used.id},
    ]


def test_a_picture(client: Anthropic, upstream: ScriptedOllama) -> None:
    content: MessageParam = {
        "role": "user",
        "content": [
            {"type": "text", "text": "what?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": TINY_GIF}},
        ],
    }
    client.messages.create(**ASKING, messages=[content])
    assert upstream.chats[0].messages == [{"role": "user", "content": "what?", "images": [TINY_GIF]}]


class Place(pydantic.BaseModel):
    """What a structured answer has."""

    name: str


def test_an_answer_in_a_schema(client: Anthropic, upstream: ScriptedOllama) -> None:
    upstream.script(text('{"name": "故宫"}'), done())
    message = client.messages.parse(**ASKING, messages=QUESTION, output_format=Place)
    assert message.parsed_output == Place(name="故宫")
    assert upstream.chats[0].json["format"]["properties"]["name"]["type"] == "string"


def test_each_error_is_the_clients_own_and_none_is_asked_again(client: Anthropic, upstream: ScriptedOllama) -> None:
    def ask(**fields: Any) -> None:
        client.messages.create(**{**ASKING, "messages": QUESTION, **fields})

    with pytest.raises(anthropic.BadRequestError) as bad:
        ask(max_tokens=0)
    assert bad.value.api_message == "max_tokens: expected an integer from 1, got 0"
    assert (bad.value.type, bad.value.error_code) == ("invalid_request_error", "bad_request")
    with pytest.raises(anthropic.PermissionDeniedError):
        ask(model="another")
    assert not upstream.chats
    upstream.script(status(404, {"error": "model 'qwen3:32b' not found"}))
    with pytest.raises(anthropic.NotFoundError):
        ask()
    upstream.script(error_line("out of memory"))
    with pytest.raises(anthropic.InternalServerError) as failed:
        ask()
    assert (failed.value.status_code, failed.value.error_code) == (502, "upstream_error")
    assert len(upstream.chats) == 2
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model=DEFAULT_MODEL, messages=QUESTION)


def test_an_error_in_a_stream_is_raised(client: Anthropic, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), error_line("out of memory"))
    with (
        client.messages.stream(**ASKING, messages=QUESTION) as stream,
        pytest.raises(anthropic.APIStatusError) as failed,
    ):
        stream.until_done()
    assert (failed.value.type, failed.value.api_message) == ("api_error", "out of memory")
    assert len(upstream.chats) == 1


def test_a_key_is_the_token(gate: Gateway, upstream: ScriptedOllama) -> None:
    with Anthropic(base_url=gate.base_url, api_key=TOKEN) as keyed:
        assert keyed.messages.create(**ASKING, messages=QUESTION).stop_reason == "end_turn"
        with pytest.raises(anthropic.AuthenticationError):
            keyed.copy(api_key="another").messages.create(**ASKING, messages=QUESTION)
    assert len(upstream.chats) == 1


def test_a_client_that_leaves_stops_the_model(client: Anthropic, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with client.messages.stream(**ASKING, messages=QUESTION) as stream:
        assert next(stream.text_stream) == "half "
    assert_closed(upstream.next_request())


def test_an_interrupt_from_outside_is_an_end(client: Anthropic, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with client.messages.stream(**ASKING, messages=QUESTION) as stream:
        assert next(stream.text_stream) == "half "
        run_id = stream.response.headers["X-Run-Id"]
        gate.post("/api/interrupt", {"run_id": run_id}, {"Authorization": f"Bearer {TOKEN}"})
        ends = [event for event in stream if event.type == "message_delta"]
        message = stream.get_final_message()
    assert ends[0].model_extra == {"clawgate": {"done_reason": "interrupted"}}
    assert (message.stop_reason, message.content[0].to_dict()["text"]) == ("end_turn", "half ")


def test_the_asynchronous_client(gate: Gateway, upstream: ScriptedOllama) -> None:
    async def ask() -> str:
        async with (
            AsyncAnthropic(base_url=gate.base_url, auth_token=TOKEN) as opened,
            opened.messages.stream(**ASKING, messages=QUESTION) as stream,
        ):
            return await stream.get_final_text()

    upstream.script(texts("春", "光"), done())
    assert asyncio.run(ask()) == "春光"
