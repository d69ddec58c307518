"""Requests that cannot be served get JSON with a code, a status, and a message that names the field."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from tests.http.asking import ask, configured, exchange, opening, reason, refusal
from tests.support.client import call
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import DEADLINE_S

MAX_BODY_BYTES = 4096
pytestmark = configured(
    server={"max_body_bytes": MAX_BODY_BYTES}, model={"allowed_models": ["llama3:8b", "smollm2"]}, stream={}
)
QUESTION = {"role": "user", "content": "hi"}


def refused(gate: Gateway, body: Any, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Post a chat that is refused and return status, code and message."""
    return refusal(gate.post("/api/chat", body, headers))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        (b"", "body: expected JSON"),
        (b"{", "body: expected JSON"),
        (b'"hi"', "body"),
        (b"\xff\xfe{\x00}\x00", "body"),
        (b'{"message": "\\ud800"}', "body"),
        (b'{"message": "hi", "options": {"temperature": NaN}}', "body"),
        (b'{"message": "hi"} {}', "body"),
        (b'{"options": ' + b"[" * 2000 + b"]" * 2000 + b', "message": "hi"}', "body"),
        (b'{"message": "hi", "options": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}", "body"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [QUESTION, {"role": "robot", "content": "hi"}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a", "images": "aGk="}]}, "messages[0].images"),
        ({"message": 5}, "message"),
        ({"message": {"content": "hi"}}, "message"),
        ({"message": {"role": "user", "content": 5}}, "message.content"),
        ({"message": "hi", "session_id": "a/b"}, "session_id"),
        ({"message": "hi", "session_id": "a\n"}, "session_id"),
        ({"message": "hi", "session_id": ""}, "session_id"),
        ({"message": "hi", "session_id": "x" * 129}, "session_id"),
        ({"message": "hi", "session_id": 7}, "session_id"),
        ({"message": "hi", "session_id": "é"}, "session_id"),
        ({"message": "hi", "stream": "no"}, "stream"),
        ({"message": "hi", "stream": 0}, "stream"),
        ({"message": "hi", "on_busy": "wait"}, "on_busy"),
        ({"message": "hi", "options": []}, "options"),
        ({"message": "hi", "format": 5}, "format"),
        ({"message": "hi", "tools": {}}, "tools"),
        ({"message": "hi", "tools": ["weather"]}, "tools"),
        ({"message": "hi", "think": 5}, "think"),
        ({"message": "hi", "keep_alive": []}, "keep_alive"),
        ({"message": "hi", "model": 5}, "model"),
        ({"continue": "yes", "session_id": "s"}, "continue"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_bad_body_names_the_field(gate: Gateway, upstream: ScriptedOllama, body: object, field: str) -> None:
    status, code, message = refused(gate, body)
    assert (status, code) == (400, "bad_request")
    assert message.startswith(f"{field}"), message
    assert "expected" in message
    assert "Traceback" not in message
    assert upstream.asked == []


def test_depth_never_breaks_the_gateway(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A body is refused unless it can be passed on, stored and shown."""
    taken = 0
    for depth in [*range(60, 140, 7), *range(700, 1100, 23)]:
        calls = b'[{"a":' + b"[" * depth + b"]" * depth + b"}]"
        body = b'{"session_id": "s-deep", "stream": false, "messages": [{"role": "assistant", "tool_calls": %b}]}'
        reply = gate.post("/api/chat", body % calls)
        if reply.status == 200:
            taken += 1
            assert gate.get("/api/sessions/s-deep").status == 200
        else:
            assert (reply.status, reply.json["error"]["code"]) == (400, "bad_request"), (depth, reply)
    assert len(upstream.chats) == taken >= 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_another_type_is_415(gate: Gateway, content_type: str) -> None:
    status, code, message = refused(gate, b'{"message": "hi"}', {"Content-Type": content_type})
    assert (status, code) == (415, "unsupported_media_type")
    assert "application/json" in message


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_in_every_spelling_is_taken(gate: Gateway, upstream: ScriptedOllama, content_type: str) -> None:
    reply = gate.post("/api/chat", b'{"message": "hi", "stream": false}', {"Content-Type": content_type})
    assert reply.status == 200
    assert len(upstream.chats) == 1


def test_a_body_at_the_limit_is_taken_and_one_above_is_413(gate: Gateway, upstream: ScriptedOllama) -> None:
    frame = b'{"message": "%b", "stream": false}'
    room = MAX_BODY_BYTES - len(frame) + 2
    assert gate.post("/api/chat", frame % (b"x" * room)).status == 200
    status, code, message = refused(gate, frame % (b"x" * (room + 1)))
    assert (status, code) == (413, "too_large")
    assert str(MAX_BODY_BYTES) in message
    assert len(upstream.chats) == 1


def send_chunked(gate: Gateway, size: int) -> tuple[int, bytes]:
    """Post a chunked body of that many bytes and return the status and all that came back."""
    body = b'{"message": "' + b"x" * (size - 31) + b'", "stream": false}'
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    data = exchange(gate, head + chunks)
    return int(data.split(b" ")[1]), data


def test_a_chunked_body_is_counted(gate: Gateway, upstream: ScriptedOllama) -> None:
    assert send_chunked(gate, MAX_BODY_BYTES - 100)[0] == 200
    status, data = send_chunked(gate, MAX_BODY_BYTES + 100)
    assert status == 413
    assert b'"too_large"' in data
    assert len(upstream.chats) == 1


def test_a_body_far_above_the_limit_is_413_too(gate: Gateway) -> None:
    """The client gets the answer although it is still sending."""
    size = 50 << 20
    with socket.create_connection(("127.0.0.1", gate.port), DEADLINE_S) as sock:
        sock.sendall(
            b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
        )

        def send() -> None:
            try:
                for _ in range(size >> 16):
                    sock.sendall(b"x" * (1 << 16))
            except OSError:
                pass  # the gateway need not read all of it

        sender = threading.Thread(target=send)
        sender.start()
        try:
            head = sock.recv(65536)
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            sender.join()
    assert head.startswith(b"HTTP/1.1 413 "), head[:200]
    assert gate.get("/healthz").status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/chat", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("DELETE", "/api/chat", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("GET", "/api/interrupt", {"POST", "OPTIONS"}),
        ("POST", "/api/sessions/s", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("POST", "/api/status", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/readyz", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/api/chat", {"GET", "HEAD", "POST", "OPTIONS"}),
    ],
)
def test_another_method_is_405_with_allow(gate: Gateway, method: str, path: str, allowed: set[str]) -> None:
    reply = call(method, gate.base_url, path)
    assert (reply.status, reply.json["error"]["code"]) == (405, "method_not_allowed")
    assert {name.strip() for name in reply.headers["Allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api/", "/api/nothing", "/api/chat/", "/api/chat/x", "/static/nothing.js", "/static/../app.py"],
)
def test_another_address_is_404(gate: Gateway, path: str) -> None:
    reply = gate.get(path)
    assert (reply.status, reply.json["error"]["code"]) == (404, "not_found")


def test_a_model_that_is_not_allowed_is_403(gate: Gateway, upstream: ScriptedOllama) -> None:
    status, code, message = refused(gate, {"message": "hi", "model": "gpt-oss:120b"})
    assert (status, code) == (403, "model_not_allowed")
    assert "qwen3:32b, llama3:8b, smollm2" in message
    for near in ("LLAMA3:8BB", "llama3", "smollm2:latest ", "", "../x"):
        assert refused(gate, {"message": "hi", "model": near})[0] == 403
    assert upstream.asked == []


def test_allowed_models_answer_for_one_request(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.models += ["llama3:8b", "smollm2"]
    events = ask(gate, opening("s-model", model="llama3:8b"))
    assert (events[0].data["model"], reason(events)) == ("llama3:8b", "stop")
    events = ask(gate, {"message": "and?", "session_id": "s-model"})
    assert events[0].data["model"] == "qwen3:32b"
    assert [chat.json["model"] for chat in upstream.chats] == ["llama3:8b", "qwen3:32b"]


def test_the_endpoint_says_what_it_is(gate: Gateway, upstream: ScriptedOllama) -> None:
    reply = gate.get("/api/chat")
    assert reply.status == 200
    assert "message" in reply.json["usage"]
    head = call("HEAD", gate.base_url, "/api/chat")
    assert (head.status, head.json) == (200, None)
    assert head.headers["Content-Type"].startswith("application/json")
    assert upstream.asked == []
