"""A chat at an endpoint that is not Ollama's: it says at once what answers there, in one request."""

from __future__ import annotations

import pytest

from tests.http.asking import ask, configured, opening
from tests.support.gateway import Gateway
from tests.support.ollama import Act, ScriptedOllama, chunk, done, end, hang, headers, keep, raw, status, text
from tests.support.sse import end_of
from tests.support.tools import DEADLINE_S

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
