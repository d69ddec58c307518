"""Clients that read lines as Python cuts them lose nothing: a text is cut at more characters than bytes are."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.http.asking import configured, opening
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, error_line, texts, thinking, tool_calls
from tests.support.tools import DEADLINE_S

pytestmark = configured(stream={"smoothing_ms": 0})

CUT = "春\u2028a\u2029b\u0085c\x0b\x0c\x1c\x1d\x1e\r\nd"
"""Every character at which str.splitlines cuts."""
CALL = {"function": {"name": CUT, "arguments": {CUT: CUT}}}


def read_lines(gate: Gateway, json_body: dict[str, Any]) -> list[dict[str, Any]]:
    """Read an answer as requests' users do."""
    with requests.post(f"{gate.base_url}/api/chat", json=json_body, stream=True, timeout=DEADLINE_S) as response:
        lines = list(response.iter_lines(decode_unicode=True))
    assert all(line == "" or line.startswith(("data: ", "id: ", "event: ")) for line in lines), lines
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_iter_lines_with_decoding_gets_every_event_whole(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking(CUT), texts(CUT), tool_calls([CALL]), done())
    start, thought, text, calls, end = read_lines(gate, {**opening("s-lines"), f"odd{CUT}": 1})
    assert start["ignored"] == [f"odd{CUT}"]
    assert (thought["thinking"], text["message"], calls["tool_calls"], end["done"]) == (CUT, CUT, [CALL], True)


def test_iter_lines_with_decoding_gets_an_error_whole(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(error_line(f"out of memory{CUT}"))
    assert CUT in read_lines(gate, opening("s-lines"))[-1]["error"]["message"]


def test_a_whole_answer_is_one_line(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking(CUT), texts(CUT), tool_calls([CALL]), done())
    body = opening("s-lines", stream=False)
    response = requests.post(f"{gate.base_url}/api/chat", json=body, timeout=DEADLINE_S)
    assert len(response.text.splitlines()) == 1
    assert (response.json()["message"], response.json()["tool_calls"]) == (CUT, [CALL])
