"""Steps of the tests of OpenAI's chat completions: ask, read a stream strictly, judge its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from clawgate.web.openai.answers import ChatCompletion, CompletionChunk
from clawgate.web.openai.errors import OpenAIFailed
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway

PATH = "/v1/chat/completions"
HI = {"role": "user", "content": "hi"}
PING = b": keepalive"
DONE = b"data: [DONE]"


def body_of(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a body; without messages it says hi."""
    return {"model": "qwen3:32b", "messages": [*(messages or (HI,))], **fields}


def open_stream(
    gate: Gateway, *messages: dict[str, Any], headers: Mapping[str, str] | None = None, **fields: Any
) -> StreamClient:
    """Ask for a stream."""
    return StreamClient(gate.base_url, body_of(*messages, stream=True, **fields), path=PATH, headers=headers)


def whole(
    gate: Gateway, *messages: dict[str, Any], headers: Mapping[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    """Ask for a whole answer, which has to be of the described type."""
    reply = gate.post(PATH, body_of(*messages, **fields), headers)
    assert reply.status == 200, reply.json
    msgspec.convert(reply.json, ChatCompletion)
    found: dict[str, Any] = reply.json
    return found


def chunks_in(data: bytes) -> list[dict[str, Any]]:
    """Return the data of a whole stream: chunks of the described type, and at most one error, as the last."""
    *blocks, done, rest = data.split(b"\n\n")
    assert (done, rest) == (DONE, b"")
    lines = [block for block in blocks if block != PING]
    assert all(line.startswith(b"data: {") and b"\n" not in line for line in lines), lines
    found = [json.loads(line.removeprefix(b"data: ")) for line in lines]
    for number, each in enumerate(found):
        is_error = "error" in each
        assert not is_error or number == len(found) - 1, "an error is the end"
        msgspec.convert(each, OpenAIFailed if is_error else CompletionChunk)
    return found


def read_chunks(stream: StreamClient) -> list[dict[str, Any]]:
    """Read a stream to its proper end."""
    data = stream.read_body()
    assert stream.complete, "the terminating chunk is missing"
    return chunks_in(data)


def read_text(stream: StreamClient, words: str) -> None:
    """Read a stream until its text has these words."""
    while words.encode() not in stream.received:
        assert stream.read_line(), stream.received


def text_of(chunks: list[dict[str, Any]], name: str = "content") -> str:
    """Return the text of the chunks."""
    return "".join(chunk["choices"][0]["delta"].get(name, "") for chunk in chunks if chunk.get("choices"))


def end_of(chunks: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Return the reason of the end, and how it ended where OpenAI has no word for it."""
    (end,) = [chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"]]
    return end["choices"][0]["finish_reason"], end.get("clawgate", {}).get("done_reason")


def refusal(reply: Reply) -> tuple[int, str, str | None, str]:
    """Return the status, the type, the field and the code of an error response."""
    assert reply.headers["Content-Type"] == "application/json"
    error = msgspec.convert(reply.json, OpenAIFailed).error
    return reply.status, error.type, error.param, error.code
