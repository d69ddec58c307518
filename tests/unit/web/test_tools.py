"""Tools and calls in Ollama's form, and calls of Ollama's that lack something."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clawgate.errors import BadRequest
from clawgate.web.anthropic.requests import read_messages
from clawgate.web.door.reading import Members, parse_object
from clawgate.web.door.tools import MAX_NAME_BYTES, call_of, called, function, listed
from clawgate.web.openai.requests import read_completion
from clawgate.web.openai.responses_requests import read_response
from tests.unit.web.bodies import MODEL, plain


def test_a_call_is_read_with_its_id_and_its_arguments_as_json() -> None:
    call = {"id": "call_1", "function": {"name": "wetter", "arguments": {"ort": "Köln", "zeile": "\u2028"}}}
    assert call_of(call, "unnamed") == ("call_1", "wetter", '{"ort":"Köln","zeile":"\\u2028"}'.encode())


@pytest.mark.parametrize(
    "call",
    [{}, {"id": "", "function": None}, {"id": 7, "function": {"name": None, "arguments": "x"}}, {"function": []}],
)
def test_a_call_without_its_parts_is_still_one(call: dict[str, Any]) -> None:
    assert call_of(call, "unnamed") == ("unnamed", "", b"{}")


DEEP = '{"a":' * 300 + "1" + "}" * 300


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [('{"ort": "Köln"}', '{"ort":"Köln"}'), ("", "{}"), ("null", "{}"), ("[1]", "{}"), ("{", "{}"), (DEEP, "{}")],
)
def test_arguments_may_be_the_text_of_an_object(arguments: str, wanted: str) -> None:
    assert call_of({"function": {"name": "f", "arguments": arguments}}, "unnamed").arguments.decode() == wanted


def test_calls_and_functions_are_written_as_ollama_has_them() -> None:
    call = called(b'"c"', b'"f"', b'{"a":1}')
    assert json.loads(call) == {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    assert json.loads(function(b'"f"', None, None)) == {"type": "function", "function": {"name": "f"}}
    described = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    tool = function(b'"f"', b'"d"', b'{"type":"object"}')
    assert json.loads(tool) == {"type": "function", "function": described}
    assert json.loads(bytes(listed([tool, call]))) == [json.loads(tool), json.loads(call)]
    assert listed([]) == ()


def completion(name: str) -> Any:
    """Read a conversation in chat completions whose one call is of a tool of this name."""
    call = {"id": "x", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return read_completion(
        members({"messages": [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "x"}]}),
        MODEL,
        None,
    )


def response(name: str) -> Any:
    """Read one in responses likewise."""
    call = {"type": "function_call", "call_id": "x", "name": name, "arguments": "{}"}
    return read_response(
        members({"input": [call, {"type": "function_call_output", "call_id": "x", "output": ""}]}), MODEL, None
    )


def conversation(name: str) -> Any:
    """Read one in Anthropic's messages likewise."""
    call, result = {"type": "tool_use", "id": "x", "name": name, "input": {}}, {"type": "tool_result"}
    turns = [
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{**result, "tool_use_id": "x"}]},
    ]
    return read_messages(members({"max_tokens": 1, "messages": turns}), MODEL, None)


def members(body: dict[str, Any]) -> Members:
    """Take a body apart."""
    return parse_object(json.dumps(body).encode())


@pytest.mark.parametrize("read", [completion, response, conversation])
def test_a_tool_that_is_called_has_a_short_name_since_each_result_repeats_it(read: Callable[[str], Any]) -> None:
    longest = "f" * MAX_NAME_BYTES
    assert plain(read(longest).chat.messages[1].tool_name) == longest
    with pytest.raises(BadRequest, match=r"name: expected at most 128 bytes, got 129$"):
        read(f"{longest}f")
