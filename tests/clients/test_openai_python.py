"""openai-python, unmodified, pointed at the gateway by `base_url` alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.http.asking import assert_closed, configured, contents
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    done,
    drop,
    error_line,
    hang,
    silence,
    status,
    text,
    texts,
    thinking,
    tool_calls,
)
from tests.support.pictures import TINY_GIF

TOKEN = "0123456789-secret"
BEAT_S = 1.0
pytestmark = configured(
    model={"allowed_models": ["absent:1b"]},
    server={"auth_token": TOKEN, "max_streams": 2},
    stream={"smoothing_ms": 0, "heartbeat_seconds": BEAT_S, "stall_seconds": 30},
)
HI: Any = [{"role": "user", "content": "hi"}]
WORDS = "春光\u2028满\u0085园<&>\n不住🐉"
CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
            "strict": True,
        },
    }
]


@pytest.fixture(scope="module")
def client(gate: Gateway) -> Iterator[OpenAI]:
    """One client for all: to make one takes 0.1 s."""
    with OpenAI(base_url=f"{gate.base_url}/v1", api_key=TOKEN) as made:
        yield made


def ask(client: OpenAI, **options: Any) -> Any:
    """Ask for a whole answer."""
    return client.chat.completions.create(**{"model": DEFAULT_MODEL, "messages": HI, **options})


def stream(client: OpenAI, **options: Any) -> Any:
    """Ask for a stream."""
    return ask(client, stream=True, **options)


def said(chunks: Any) -> str:
    """Return the text of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_chat_is_an_answer(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), texts(*WORDS), done())
    answer = ask(client, temperature=0.5, max_completion_tokens=7, stop=["x"])
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason, answer.model) == (WORDS, "stop", DEFAULT_MODEL)
    assert choice.message.reasoning == "hm"
    assert answer.usage.total_tokens == 316
    assert upstream.chats[0].json["options"] == {"temperature": 0.5, "num_predict": 7, "stop": ["x"]}


def test_a_chat_is_a_stream(client: OpenAI, upstream: ScriptedOllama) -> None:
    """Heartbeats are comments, which the client passes over, and no line is cut where Python cuts lines."""
    upstream.script(texts(*WORDS), silence(2 * BEAT_S), text("!"), done("length"))
    chunks = list(stream(client, stream_options={"include_usage": True}))
    assert said(chunks) == WORDS + "!"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:-1]] == ["length"]
    assert chunks[-1].usage.completion_tokens == 290
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


def test_an_answer_that_ollama_cuts_is_one_answer(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), drop())
    upstream.script(text("two"), done())
    assert said(stream(client)) == "one two"


def test_thinking_is_streamed_as_reasoning(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("H", "m"), text("a"), done())
    chunks = list(stream(client, reasoning_effort="high"))
    assert "".join(getattr(chunk.choices[0].delta, "reasoning", "") for chunk in chunks) == "Hm"
    assert said(chunks) == "a"
    assert upstream.chats[0].json["think"] == "high"


def test_tools_are_called_and_answered(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(tool_calls([CALL, CALL]), done())
    message = ask(client, tools=TOOLS).choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"city": "北京"}] * 2
    upstream.script(text("sunny"), done())
    answers = [{"role": "tool", "tool_call_id": call.id, "content": "☀"} for call in message.tool_calls]
    assert ask(client, messages=[*HI, message, *answers], tools=TOOLS).choices[0].message.content == "sunny"
    _, asked, *told = upstream.chats[1].json["messages"]
    assert [call["function"] for call in asked["tool_calls"]] == [CALL["function"]] * 2
    assert {answer["tool_name"] for answer in told} == {"weather"}


def test_the_helper_for_streams_gathers_calls(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), text("a"), tool_calls([CALL]), done())
    with client.chat.completions.stream(model=DEFAULT_MODEL, messages=HI, tools=TOOLS) as events:
        kinds = {event.type for event in events}
        (choice,) = events.get_final_completion().choices
    assert {"content.delta", "content.done", "tool_calls.function.arguments.done"} <= kinds
    assert choice.message.content == "a"
    calls = choice.message.tool_calls
    assert calls is not None
    (call,) = calls
    assert (choice.finish_reason, call.function.parsed_arguments) == ("tool_calls", {"city": "北京"})


class Place(BaseModel):
    """What the model is to answer."""

    name: str
    age: int


def test_an_answer_is_parsed_after_its_schema(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text('{"name": "天坛", '), text('"age": 600}'), done())
    parsed = client.chat.completions.parse(model=DEFAULT_MODEL, messages=HI, response_format=Place)
    assert parsed.choices[0].message.parsed == Place(name="天坛", age=600)
    assert upstream.chats[0].json["format"]["properties"].keys() == {"name", "age"}


def test_a_picture_is_sent(client: OpenAI, upstream: ScriptedOllama) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{TINY_GIF}"}},
    ]
    upstream.script(text("a dot"), done())
    assert said(stream(client, messages=[{"role": "user", "content": parts}])) == "a dot"
    message = upstream.chats[0].json["messages"][0]
    assert message == {"role": "user", "content": "What is this?", "images": [TINY_GIF]}


FAILURES: list[tuple[tuple[Step, ...], dict[str, Any], type[openai.APIStatusError], str]] = [
    ((status(400, {"error": "bad"}),), {}, openai.BadRequestError, "upstream_refused"),
    ((), {"messages": [{"role": "king"}]}, openai.BadRequestError, "bad_request"),
    ((), {"model": "gpt-4o"}, openai.PermissionDeniedError, "model_not_allowed"),
    ((), {"model": "absent:1b"}, openai.NotFoundError, "model_not_found"),
    ((status(500, {"error": "boom"}),), {}, openai.InternalServerError, "upstream_error"),
    ((status(429, {"error": "limit"}),), {}, openai.RateLimitError, "upstream_error"),
]


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize(
    ("steps", "options", "kind", "code"), FAILURES, ids=lambda value: getattr(value, "__name__", "")
)
def test_an_error_is_its_exception_and_is_not_tried_again(
    client: OpenAI,
    upstream: ScriptedOllama,
    steps: tuple[Step, ...],
    options: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    is_streamed: bool,
) -> None:
    if steps:
        upstream.script(*steps)
    with pytest.raises(kind) as caught:
        ask(client, stream=is_streamed, **options)
    assert caught.value.code == code
    assert len(upstream.chats) <= 1, "the client has asked again"


def test_the_wrong_key_is_its_exception(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client.with_options(api_key="sk-wrong"))
    assert caught.value.code == "unauthorized"


def test_where_all_streams_are_taken_the_client_may_try_again(client: OpenAI, upstream: ScriptedOllama) -> None:
    running = []
    for _ in range(2):
        upstream.script(text("half "), hang())
        running.append(stream(client))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client.with_options(max_retries=0))
    assert (caught.value.status_code, caught.value.code) == (503, "busy")
    assert caught.value.response.headers["retry-after"] == "1"
    assert "x-should-retry" not in caught.value.response.headers
    for each in running:
        each.close()


def test_an_error_in_the_middle_of_a_stream_is_raised(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), error_line("boom"))
    got = []
    with pytest.raises(openai.APIError, match="boom") as caught:
        got += [said([chunk]) for chunk in stream(client)]
    assert caught.value.code == "upstream_error"
    assert len(upstream.chats) == 1


def test_leaving_stops_the_model(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with stream(client) as chunks:
        assert said([next(chunks), next(chunks)]) == "half "
    assert_closed(upstream.next_request())


def test_an_interrupt_by_the_runs_id(client: OpenAI, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    raw = client.chat.completions.with_raw_response.create(model=DEFAULT_MODEL, messages=HI, stream=True)
    chunks = raw.parse()
    first, second = next(chunks), next(chunks)
    assert (said([first, second]), first.id) == ("half ", raw.headers["x-run-id"].replace("run_", "chatcmpl-"))
    body = {"run_id": raw.headers["x-run-id"]}
    assert gate.post("/api/interrupt", body, {"Authorization": f"Bearer {TOKEN}"}).json["interrupted"] is True
    (last,) = chunks
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra == {"clawgate": {"done_reason": "interrupted"}}


def test_a_session_by_its_header(client: OpenAI, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    named = client.with_options(default_headers={"X-Session-Id": "s-python"})
    chunks = stream(named)
    assert said([next(chunks), next(chunks)]) == "half "
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert gate.post("/api/interrupt", {"session_id": "s-python"}, headers).json["partial"] == "half "
    assert said(chunks) == ""
    kept = gate.get("/api/sessions/s-python", headers).json["messages"]
    assert contents(kept) == [("user", "hi"), ("assistant", "half ")]
    assert gate.delete("/api/sessions/s-python", headers).status == 204


def test_a_session_by_a_field_of_the_body(client: OpenAI, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), done())
    raw = client.chat.completions.with_raw_response.create(
        model=DEFAULT_MODEL, messages=HI, extra_body={"session_id": "s-body"}
    )
    assert raw.headers["x-session-id"] == "s-body"
    assert gate.delete("/api/sessions/s-body", {"Authorization": f"Bearer {TOKEN}"}).status == 204


def test_the_models(client: OpenAI, upstream: ScriptedOllama) -> None:
    upstream.models.append("other:7b")
    assert [model.id for model in client.models.list()] == [DEFAULT_MODEL]
    model = client.models.retrieve(DEFAULT_MODEL)
    assert (model.id, model.owned_by, model.created) == (DEFAULT_MODEL, "library", 1735689600)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other:7b")


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_embeddings(client: OpenAI, upstream: ScriptedOllama, options: dict[str, Any]) -> None:
    """The client asks for base64 by itself, and decodes it."""
    answer = client.embeddings.create(model=DEFAULT_MODEL, input=["a"], dimensions=3, **options)
    (only,) = answer.data
    if options.get("encoding_format") != "base64":
        assert only.embedding == pytest.approx([0.1, 0.2, 0.3])
    assert answer.usage.prompt_tokens == 1
    assert upstream.requests[-1].json == {"model": DEFAULT_MODEL, "input": ["a"], "dimensions": 3}


def test_the_asynchronous_client(gate: Gateway, upstream: ScriptedOllama) -> None:
    async def run() -> tuple[str, list[str]]:
        async with AsyncOpenAI(base_url=f"{gate.base_url}/v1", api_key=TOKEN) as client:
            chunks = await client.chat.completions.create(model=DEFAULT_MODEL, messages=HI, stream=True)
            words = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
            return words, [model.id async for model in client.models.list()]

    upstream.script(texts(*WORDS), done())
    assert asyncio.run(run()) == (WORDS, [DEFAULT_MODEL])
