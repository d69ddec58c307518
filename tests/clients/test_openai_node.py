"""openai-node, unmodified, pointed at the gateway by `baseURL` alone: one process runs all cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured
from tests.support.gateway import Gateway
from tests.support.node import NodeCases
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    done,
    error_line,
    hang,
    status,
    text,
    texts,
    thinking,
    tool_calls,
)
from tests.support.pictures import TINY_GIF
from tests.support.tools import require_package

TOKEN = "0123456789-secret"
pytestmark = configured(
    model={"allowed_models": ["absent:1b"]},
    server={"auth_token": TOKEN},
    stream={"smoothing_ms": 0, "stall_seconds": 30},
)
WORDS = "春光\u2028满\u0085园<&>\n不住🐉"
CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}
CALLED = {"name": "weather", "arguments": '{"city":"北京"}'}


@pytest.fixture(scope="module")
def node(gate: Gateway) -> Iterator[NodeCases]:
    """The module's process."""
    started = NodeCases(Path(__file__).with_name("openai_cases.mjs"), gate.base_url, TOKEN, require_package("openai"))
    yield started
    started.stop()


def error(kind: str, status: int, code: str, type_: str, param: str | None = None) -> dict[str, Any]:
    """Return an exception as the cases print it."""
    return {"kind": kind, "status": status, "code": code, "param": param, "type": type_}


ANSWER = {"index": 0, "message": {"role": "assistant", "content": WORDS, "reasoning": "hm"}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 26, "completion_tokens": 290, "total_tokens": 316}
CASES: dict[str, tuple[list[tuple[Step, ...]], Any]] = {
    "chat": ([(thinking("hm"), texts(*WORDS), done())], ANSWER),
    "stream": ([(texts(*WORDS), done())], {"text": WORDS, "usage": USAGE}),
    "thinking": ([(thinking("H", "m"), text("a"), done())], "Hm"),
    "tools": ([(tool_calls([CALL]), done()), (text("It is sunny."), done())], [CALLED, "It is sunny."]),
    "runTools": ([(tool_calls([CALL]), done()), (text("It is sunny."), done())], ["It is sunny.", ["北京"]]),
    "gathered": (
        [(text("a"), tool_calls([CALL]), done())],
        ["a", CALLED["arguments"], "tool_calls", None],
    ),
    "parse": ([(text('{"name": "天坛"}'), done())], {"name": "天坛"}),
    "image": ([(text("a dot"), done())], "a dot"),
    "400": ([], error("BadRequestError", 400, "bad_request", "invalid_request_error", "messages[0].role")),
    "401": ([], error("AuthenticationError", 401, "unauthorized", "authentication_error")),
    "403": ([], error("PermissionDeniedError", 403, "model_not_allowed", "permission_error", "model")),
    "404": ([], error("NotFoundError", 404, "model_not_found", "not_found_error", "model")),
    "502": ([(status(500, {"error": "boom"}),)], error("InternalServerError", 502, "upstream_error", "server_error")),
    "models": ([], [[DEFAULT_MODEL], "library"]),
    "embeddings": ([], [[1, 2, 3], 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_comes_out_as_with_openai(node: NodeCases, gate: Gateway, upstream: ScriptedOllama, name: str) -> None:
    del gate
    scripts, expected = CASES[name]
    for steps in scripts:
        upstream.script(*steps)
    assert node.run(name) == expected
    assert len(upstream.chats) == (len(scripts) or name == "404"), "the client has asked again"
    if name == "image":
        assert upstream.chats[0].json["messages"][0]["images"] == [TINY_GIF]
    if name == "parse":
        assert upstream.chats[0].json["format"]["properties"] == {"name": {"type": "string"}}


def test_an_error_in_the_middle_is_thrown(node: NodeCases, gate: Gateway, upstream: ScriptedOllama) -> None:
    del gate
    upstream.script(text("half "), error_line("boom"))
    thrown = node.run("midway")
    assert (thrown["kind"], thrown["code"], thrown["type"]) == ("APIError", "upstream_error", "server_error")


def test_leaving_stops_the_model(node: NodeCases, gate: Gateway, upstream: ScriptedOllama) -> None:
    del gate
    upstream.script(text("half "), hang())
    node.begin("leave")
    assert [node.told(), node.told()] == ["half ", True]
    assert_closed(upstream.chats[0])


@pytest.mark.parametrize("by", ["run", "session"])
def test_an_interrupt_ends_the_stream(node: NodeCases, gate: Gateway, upstream: ScriptedOllama, by: str) -> None:
    upstream.script(text("half "), hang())
    told = node.run(f"interrupt by {by}")
    assert told == [True, {"text": "half ", "finish": "stop", "clawgate": {"done_reason": "interrupted"}}]
    if by == "session":
        assert gate.delete("/api/sessions/s-node", {"Authorization": f"Bearer {TOKEN}"}).status == 204
