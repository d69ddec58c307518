"""Tools and calls in Ollama's form, and calls of Ollama's that lack something."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawgate.web.door.tools import call_of, called, function, listed


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
