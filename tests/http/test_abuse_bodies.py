"""Bodies that are meant to hurt: each is refused by a clear 4xx before it costs much."""

from __future__ import annotations

import pytest

from tests.http.asking import configured, refusal
from tests.support.client import call
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama

pytestmark = configured()
MAX_GROWTH_BYTES = 150 << 20
"""The growth of the worker's memory by one body of 16 MiB: the body, its pieces, its text, and noise."""
POSTS = ("/api/chat", "/api/interrupt", "/render")


def test_a_million_messages_are_refused_before_they_are_made(gate: Gateway, upstream: ScriptedOllama) -> None:
    body = b'{"messages":[' + b",".join([b'{"role":"user"}'] * 1_000_000) + b"]}"
    assert len(body) < 16 << 20, "it is not refused for its length"
    before = gate.baseline()["rss_bytes"]
    status, code, words = refusal(gate.post("/api/chat", body))
    assert (status, code) == (400, "bad_request")
    assert words == "body: expected at most 65536 members and items, got more"
    assert gate.resources()["rss_bytes"] - before < MAX_GROWTH_BYTES
    assert upstream.asked == []


@pytest.mark.parametrize("shape", [b"[]", b"{}", b'{"a":0}', b"[[]]", b"[0]"], ids=str)
def test_a_body_of_nothing_but_brackets_is_refused(gate: Gateway, upstream: ScriptedOllama, shape: bytes) -> None:
    body = b'{"message":"hi","options":{"x":[' + b",".join([shape] * ((8 << 20) // (len(shape) + 1))) + b"]}}"
    before = gate.baseline()["rss_bytes"]
    assert refusal(gate.post("/api/chat", body))[:2] == (400, "bad_request")
    assert gate.resources()["rss_bytes"] - before < MAX_GROWTH_BYTES
    assert upstream.asked == []


def test_a_history_of_many_messages_is_served(gate: Gateway, upstream: ScriptedOllama) -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(20_000)]
    reply = gate.post("/api/chat", {"messages": messages, "stream": False, "session_id": "s-long"})
    assert reply.status == 200, reply.json
    assert upstream.next_request().messages == messages
    assert gate.delete("/api/sessions/s-long").status == 204


@pytest.mark.parametrize(
    ("path", "limit", "setting"),
    [
        ("/api/chat", 16 << 20, " (server.max_body_bytes)"),
        ("/api/interrupt", 4 << 10, ""),
        ("/render", 1 << 20, ""),
    ],
)
def test_each_route_takes_as_much_as_it_needs(gate: Gateway, path: str, limit: int, setting: str) -> None:
    body = b'{"message": 5, "text": 5, "run_id": 5}'
    assert refusal(gate.post(path, body.ljust(limit)))[:2] == (400, "bad_request")
    words = f"body: expected at most {limit} bytes{setting}"
    assert refusal(gate.post(path, body.ljust(limit + 1))) == (413, "too_large", words)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/json-patch+json",
        "",
    ],
)
def test_what_a_page_may_send_without_asking_first_is_415(
    gate: Gateway, upstream: ScriptedOllama, path: str, content_type: str
) -> None:
    """A browser sends these types across origins without a preflight, but not JSON. Source: WHATWG Fetch, 2.2.2."""
    body = b'{"message": "hi", "text": "hi", "session_id": "s"}'
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Mode": "no-cors"}
    reply = call("POST", gate.base_url, path, body, {"Content-Type": content_type, **headers})
    assert (reply.status, reply.json["error"]["code"]) == (415, "unsupported_media_type")
    assert upstream.asked == []


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"message": "a", "text": "a", "session_id": "s", "session_id": "t"}',
        b'{"message": "a", "text": "a", "run_id": "s", "r\\u0075n_id": "t"}',
        b'{"message": "a", "text": "b", "text": "a", "session_id": "t"}',
    ],
)
def test_a_name_that_comes_twice_is_refused(gate: Gateway, upstream: ScriptedOllama, path: str, body: bytes) -> None:
    status, code, words = refusal(gate.post(path, body))
    assert (status, code) == (400, "bad_request")
    assert words == "body: expected each name once in an object, got one twice"
    assert upstream.asked == []


@pytest.mark.parametrize("path", POSTS)
def test_every_route_with_a_body_has_the_limits(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    deep = b"[" * 1000 + b"]" * 1000
    for body in (b"", b"{", b"[]", b"null", b'{"text": \xff}', b'{"text": ' + deep + b"}", b"[" * 4000):
        status, code, words = refusal(gate.post(path, body))
        assert (status, code) == (400, "bad_request")
        assert words.startswith("body: expected")
        assert "breaks off" not in words, f"{body[:9]!r} came whole"
    assert upstream.asked == []
