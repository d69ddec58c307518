"""The recognition of what answers in Ollama's place: responses as these servers send them."""

from __future__ import annotations

import json
import time
from typing import get_args

import pytest

from clawgate.ollama.failures import refusal_of
from clawgate.ollama.finding import OF_ANOTHER, OF_OLLAMA, PASSING, Finding, Kind, described
from clawgate.ollama.recognition import recognise
from tests.support.language import assert_has_chinese
from tests.support.tools import ROOT

PLAIN = "http://127.0.0.1:11434"
HTML = {"content-type": "text/html", "server": "nginx/1.22.1"}
JSON = {"content-type": "application/json"}
NGINX_404 = b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body><h1>404 Not Found</h1></body></html>"
GO_404 = b"404 page not found"
OURS = b'{"error":{"code":"%b","message":"there is nothing at this address"}}\n'


@pytest.mark.parametrize(
    ("endpoint", "status", "fields", "body", "kind", "detail"),
    [
        # an endpoint as another program wants it: Ollama itself answers so
        (f"{PLAIN}/v1", 404, {}, GO_404, "path", "/v1"),
        (f"{PLAIN}/api", 404, {}, GO_404, "path", "/api"),
        (f"{PLAIN}/api/chat", 404, {}, GO_404, "path", "/api/chat"),
        ("https://gpu.example/ollama/v1/chat/completions", 404, HTML, NGINX_404, "path", "/v1/chat/completions"),
        (f"{PLAIN}/api/generate", 405, {}, b"405 method not allowed", "path", "/api/generate"),
        # a path of its own is no slip
        ("https://gpu.example/ollama", 404, HTML, NGINX_404, "page", "404 Not Found"),
        ("https://gpu.example/my-v1", 404, {}, b"", "other", "status 404"),
        # redirects
        (PLAIN, 308, {"location": "https://gpu.example/api/version"}, b"", "moved", "https://gpu.example"),
        (PLAIN, 301, {"location": "/ollama/api/chat"}, b"", "moved", f"{PLAIN}/ollama"),
        (PLAIN, 302, {"location": "https://sso.example/login?rd=/api/chat"}, b"", "sign_in", ""),
        (PLAIN, 302, {"location": "/oauth2/start"}, b"", "sign_in", ""),
        (PLAIN, 304, {}, b"", "other", "status 304"),
        (
            PLAIN,
            302,
            {"location": "https://ada:secret@gpu.example/api/chat?key=k#f"},
            b"",
            "moved",
            "https://gpu.example",
        ),
        (PLAIN, 302, {"location": "http://["}, b"", "moved", "http://["),
        (PLAIN, 302, {"location": "//[x]/?key=k"}, b"", "moved", "//[x]/"),
        (PLAIN, 302, {"location": "http://a\u202e\x1b[1mb/"}, b"", "moved", "http://a [1mb/"),
        (PLAIN, 302, {"location": "http:///"}, b"", "moved", None),
        # guards
        (PLAIN, 401, HTML, b"<title>401 Authorization Required</title>", "sign_in", ""),
        (PLAIN, 407, {}, b"", "sign_in", ""),
        # http and https mistaken for one another
        (PLAIN, 400, {}, b"Client sent an HTTP request to an HTTPS server.\n", "wants_https", ""),
        (PLAIN, 400, HTML, b"<center>The plain HTTP request was sent to HTTPS port</center>", "wants_https", ""),
        (PLAIN, 400, HTML, b"<center>No required SSL certificate was sent</center>", "tls", None),
        # pages
        (
            PLAIN,
            200,
            HTML,
            b"<!DOCTYPE html><title>Welcome to\n nginx &amp; co</title>",
            "page",
            "Welcome to nginx & co",
        ),
        (PLAIN, 200, {}, b"  <HTML>", "page", "status 200"),
        (PLAIN, 200, HTML, b"<!-- <title>no</title> --><h1>It works!</h1>", "page", "It works!"),
        (PLAIN, 403, HTML, b"<title>Just a moment\x1b[31m\xff</title>", "page", "Just a moment [31m\ufffd"),
        # other programs' servers
        (PLAIN, 404, {"server": "uvicorn"}, b'{"detail":"Not Found"}', "openai", ""),
        (PLAIN, 404, {}, b'{"detail": "Not Found"}', "openai", ""),
        (
            PLAIN,
            404,
            {"server": "llama.cpp"},
            b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
            "openai",
            "",
        ),
        (PLAIN, 200, JSON, b'{"error":"Unexpected endpoint or method. (POST /api/chat)"}', "openai", ""),
        # a clawgate, with and without its token
        (PLAIN, 404, JSON, OURS % b"not_found", "clawgate", ""),
        (PLAIN, 401, JSON, OURS % b"unauthorized", "clawgate", ""),
        (PLAIN, 401, {"www-authenticate": 'Bearer realm="clawgate"'}, b'{"error":"a token"}', "clawgate", ""),
        (PLAIN, 400, JSON, b'{"error":{"code":"upstream_refused","message":"m","words":"w"}}', "clawgate", ""),
        (
            PLAIN,
            200,
            {"x-run-id": "run_1", "x-session-id": "s"},
            b"",
            "clawgate",
            "",
        ),
        (f"{PLAIN}/v1", 404, JSON, OURS % b"not_found", "clawgate", ""),
        # the rest
        (PLAIN, 502, HTML, b"<title>502 Bad Gateway</title>", "proxy", "status 502, nginx/1.22.1"),
        (PLAIN, 504, HTML, b"<title>504 Gateway Time-out</title>", "proxy", "status 504, nginx/1.22.1"),
        (PLAIN, 200, HTML, b'{"error":"an API that says it is a page"}', "page", "status 200, nginx/1.22.1"),
        (PLAIN, 404, {}, GO_404, "other", "status 404: 404 page not found"),
        (PLAIN, 200, JSON, b'{"ok":true}', "other", 'status 200: {"ok":true}'),
        (PLAIN, 404, {"server": "x" * 500}, b"", "other", "status 404, " + "x" * 88),
    ],
)
def test_what_answers_is_recognised(
    endpoint: str, status: int, fields: dict[str, str], body: bytes, kind: str, detail: str | None
) -> None:
    found = recognise(endpoint, status, fields, body)
    assert found is not None
    assert found.kind == kind
    assert detail is None or found.detail == detail
    assert "{" not in found.message.replace(found.detail, "")
    assert described(found, endpoint).isprintable()
    assert_has_chinese(f"not ready: {described(found, endpoint)}")


@pytest.mark.parametrize("piece", [b"<title", b"<title>", b"<", b"a", b"&#1", b" ", b"</title"])
def test_no_page_takes_long_to_recognise(piece: bytes) -> None:
    before = time.thread_time()
    recognise(PLAIN, 404, HTML, b"<html><title>" + piece * (1 << 16))
    assert time.thread_time() - before < 0.3


@pytest.mark.parametrize("piece", ["/api/", "/api/a", "../", "a", "login", "%", "//"])
def test_no_redirect_takes_long_to_recognise(piece: str) -> None:
    before = time.thread_time()
    recognise(PLAIN, 302, {"location": f"http://x/{piece * (1 << 14)}!"}, b"")
    assert time.thread_time() - before < 0.1


@pytest.mark.parametrize("endpoint", [PLAIN, f"{PLAIN}/v1", "https://gpu.example/ollama"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"error":"model \'x\' not found"}'),
        (404, b'{"error":{"message":"model \'x\' not found"}}'),
        (400, b'{"error":{"code":400,"message":"our codes are words"}}'),
        (400, b'{"error":"bad options"}'),
        (500, b'{"error":"out of memory"}'),
        (503, b'{"error":"server busy"}'),
        (500, b"out of memory"),
        (413, b"<html><title>413 Request Entity Too Large</title></html>"),
        (429, b"<html><title>429 Too Many Requests</title></html>"),
        (400, b"400 Bad Request"),
    ],
)
def test_an_error_that_is_not_the_addresss_is_left_to_be_read(endpoint: str, status: int, body: bytes) -> None:
    assert recognise(endpoint, status, {}, body) is None


@pytest.mark.parametrize("endpoint", [PLAIN, f"{PLAIN}/v1"])
def test_a_bare_403_is_an_ollama_that_refuses_the_host(endpoint: str) -> None:
    assert recognise(endpoint, 403, {}, b"") == Finding("foreign_host")


def test_a_chat_says_no_address_that_a_redirect_leads_to() -> None:
    failure = refusal_of(PLAIN, 302, {"location": "http://internal.example/x"}, b"")
    assert "internal" not in failure.error.message
    assert not failure.is_retryable
    assert "internal" in described(Finding("moved", "http://internal.example/x"), PLAIN)


def test_a_proxy_whose_ollama_is_away_is_waited_for() -> None:
    assert refusal_of(PLAIN, 502, HTML, b"<title>502 Bad Gateway</title>").is_retryable


def test_every_kind_has_words_in_each_language() -> None:
    kinds = set(get_args(Kind))
    assert kinds == OF_OLLAMA.keys() | OF_ANOTHER.keys()
    assert kinds >= set(PASSING)
    for language in ("en", "zh"):
        words = json.loads((ROOT / f"clawgate/static/words.{language}.json").read_text(encoding="utf-8"))
        for kind in kinds - {"refused"}:  # which has a command, as before: setup.ollama.down
            takes_detail = "{detail}" in "".join({**OF_OLLAMA, **OF_ANOTHER}[kind])
            assert ("{detail}" in words[f"setup.ollama.{kind}"]) is (takes_detail and kind != "not_accepted"), kind
