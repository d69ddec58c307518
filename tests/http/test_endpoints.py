"""A chat at an endpoint that is not Ollama's: it says at once what answers there, in one request."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.http.asking import ask, configured, opening
from tests.support.gateway import Gateway
from tests.support.ollama import Act, ScriptedOllama, chunk, done, end, hang, headers, keep, raw, status, text
from tests.support.sse import end_of
from tests.support.tools import DEADLINE_S, free_port, on_a_free_port

GATE = configured(stream={"smoothing_ms": 0, "retry_seconds": 10 * DEADLINE_S})
"""A fault that was waited for would not end in a test's time."""
HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!doctype html><title>Welcome to nginx!</title>"
MOVED = b"HTTP/1.1 301 Moved\r\nLocation: https://gpu.internal/api/chat\r\nContent-Length: 0\r\n\r\n"
CLAWGATE = {"error": {"code": "bad_request", "message": "x"}}


@GATE
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ((raw(MOVED), keep()), "redirects to another address: model.endpoint must be the final address"),
        ((status(404, b"404 page not found"),), "is not Ollama (status 404: 404 page not found): look at host, port"),
        ((headers(extra=HTML), chunk(PAGE), end()), "is not Ollama but a web page (Welcome to nginx!): look at host"),
        ((headers(404, extra=HTML), chunk(PAGE), end()), "is not Ollama but a web page (Welcome to nginx!)"),
        ((headers(extra=HTML), chunk(PAGE), hang()), "is not Ollama but a web page (Welcome to nginx!)"),
        ((status(401),), "wants a sign-in, which clawgate does not have"),
        ((status(404, {"detail": "Not Found"}),), "is not Ollama but an OpenAI-compatible server"),
        ((status(400, b"Client sent an HTTP request to an HTTPS server.\n"),), "begin model.endpoint with https://"),
        ((status(400, CLAWGATE),), "is a clawgate, perhaps this one: name Ollama in model.endpoint"),
        ((raw(b"SSH-2.0-OpenSSH_9.2\r\n"), hang()), "does not speak HTTP: look at the port in model.endpoint"),
    ],
    ids=["moved", "404", "page", "page-404", "page-without-end", "401", "openai", "https", "clawgate", "ssh"],
)
def test_a_chat_says_what_answers(gate: Gateway, upstream: ScriptedOllama, script: tuple[Act, ...], words: str) -> None:
    upstream.script(*script)
    error = end_of(ask(gate, opening("s-strange")))["error"]
    assert error["code"] == "upstream_error"
    assert error["message"].startswith("what answers at model.endpoint ")
    assert words in error["message"]
    assert "internal" not in error["message"]
    assert len(upstream.chats) == 1


@GATE
def test_a_type_that_a_proxy_has_changed_is_no_reason_to_refuse_an_answer(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    upstream.script(headers(extra={"Content-Type": "text/plain"}), text("a"), done())
    assert end_of(ask(gate, opening("s-plain")))["done_reason"] == "stop"


@pytest.mark.parametrize("token", [None, "a-token-of-the-test"])
def test_a_gateway_that_is_its_own_endpoint_knows_itself(tmp_path: Path, token: str | None) -> None:
    """It answers Ollama's API, too; a question that it asks itself ends there, and does not go round."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"model": "qwen3:32b", "prompt": "hi", "stream": False}

    def started() -> Gateway:
        port = free_port()
        server = {"port": port, "max_streams": 4} | ({} if token is None else {"auth_token": token})
        return Gateway({"server": server, "model": {"endpoint": f"http://127.0.0.1:{port}"}}, tmp_path)

    with on_a_free_port(started) as gateway:
        assert gateway.get("/api/status", headers).json["upstream"]["problem"] == "clawgate"
        for path in ("/api/chat", "/api/generate", "/api/embed"):
            asked = {**body, "message": "hi"} if path == "/api/chat" else body
            reply = gateway.post(path, asked, headers)
            assert reply.status == 502, reply.json
            assert "is a clawgate, perhaps this one: name Ollama in model.endpoint" in str(reply.json)
        for path in ("/api/tags", "/api/version"):
            reply = gateway.get(path, headers)
            assert (reply.status, reply.json["error"][:31]) == (502, "what answers at model.endpoint ")
        assert gateway.log.count("request: ") < 40, "a question went round"
        gateway.stop(signal.SIGKILL)
