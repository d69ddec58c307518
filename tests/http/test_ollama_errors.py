"""Errors as Ollama's clients know them: `{"error": "…"}`, Ollama's own words and status, also from the guard."""

from __future__ import annotations

import threading
from typing import Any

import ollama
import pytest

from tests.http.asking import configured
from tests.support import client
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway
from tests.support.ndjson import NDJSON, read_frame, read_frames, text_in
from tests.support.ollama import ScriptedOllama, Step, chunk, done, error_line, hang, status, text, wait

TOKEN = "the-token-of-these-tests"
pytestmark = configured(
    model={"allowed_models": ["not-pulled"]},
    server={"auth_token": TOKEN, "max_body_bytes": 1 << 17},
    stream={
        "smoothing_ms": 0,
        "heartbeat_seconds": 1.0,
        "stall_seconds": 0.3,
        "retry_seconds": 0.3,
        "first_frame_seconds": 10,
    },
)

MODEL = "qwen3:32b"
CHAT = "/api/chat"
GENERATE = "/api/generate"
ENDPOINTS = [
    ("POST", CHAT),
    ("POST", GENERATE),
    ("GET", "/api/tags"),
    ("GET", "/api/ps"),
    ("GET", "/api/version"),
    ("POST", "/api/show"),
    ("POST", "/api/embed"),
    ("POST", "/api/embeddings"),
    ("POST", "/api/pull"),
    ("POST", "/api/push"),
    ("POST", "/api/create"),
    ("POST", "/api/copy"),
    ("DELETE", "/api/delete"),
    ("POST", "/api/blobs/sha256:aa"),
]
WITH_A_BODY = [path for method, path in ENDPOINTS if method == "POST"][:5]
RIGHT = {**NDJSON, "Authorization": f"Bearer {TOKEN}"}
PATHS = pytest.mark.parametrize("path", [CHAT, GENERATE])
FORMS = pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])


def body_of(path: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a question by either way."""
    asked = {"messages": [{"role": "user", "content": "hi"}]} if path == CHAT else {"prompt": "hi"}
    return {"model": MODEL, **asked, **fields}


def ask(gate: Gateway, path: str, **fields: Any) -> Reply:
    """Ask, and return the answer when it is complete."""
    return gate.post(path, body_of(path, **fields), RIGHT)


def stream(gate: Gateway, path: str, **fields: Any) -> StreamClient:
    """Ask for a stream of frames."""
    return gate.stream(body_of(path, **fields), path=path, headers=RIGHT)


def words(reply: Reply) -> str:
    """Return the words of an error in Ollama's form."""
    assert reply.headers["Content-Type"] == "application/json"
    assert [*reply.json] == ["error"], reply.json
    assert isinstance(reply.json["error"], str), reply.json
    return str(reply.json["error"])


@FORMS
@PATHS
@pytest.mark.parametrize(
    ("step", "expected", "said"),
    [
        (status(404, {"error": "model 'x' not found"}), 404, "model 'x' not found"),
        (status(400, {"error": '"m" does not support thinking'}), 400, '"m" does not support thinking'),
        (status(500, {"error": 'option "a" must be of type b'}), 500, 'option "a" must be of type b'),
        (status(500, {"error": "no <memory>"}), 500, "no <memory>"),
        (error_line("no memory"), 502, "no memory"),
        (chunk(b"x\nx\nx\n"), 502, "3 frames of Ollama's stream could not be read"),
    ],
    ids=["404", "400", "500 refused", "500", "line", "bad frames"],
)
def test_an_error_has_ollamas_status_and_words(
    gate: Gateway, upstream: ScriptedOllama, path: str, is_streamed: bool, step: Step, expected: int, said: str
) -> None:
    upstream.script(step, *([hang()] if expected == 502 and "frames" in said else []), path=path)
    reply = ask(gate, path, stream=is_streamed)
    assert (reply.status, words(reply)) == (expected, said)
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["X-Run-Id"].startswith("run_")


@PATHS
def test_an_ollama_that_is_busy_or_away_is_waited_for_first(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    busy = status(503, {"error": "server busy, please try again.  maximum pending requests exceeded"})
    upstream.script(busy, path=path)
    upstream.script(text("a") if path == CHAT else chunk(b'{"response":"a"}\n'), done(), path=path)
    with stream(gate, path) as answer:
        assert text_in(read_frames(answer)) == "a"
    upstream.stop()
    reply = ask(gate, path, stream=False)
    assert (reply.status, words(reply)) == (502, "Ollama refused the connection")
    upstream.start()


def test_a_heartbeat_is_a_frame_without_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    """It takes the head with it; an error that comes later is a line."""
    go = threading.Event()
    upstream.script(wait(go), status(404, {"error": "model 'x' not found"}))
    with stream(gate, CHAT) as answer:
        beats = [read_frame(answer)]
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
        go.set()
        assert read_frames(answer)[-1] == {"error": "model 'x' not found"}
    for beat in beats:
        assert beat.pop("created_at")
        assert beat == {"model": MODEL, "message": {"role": "assistant", "content": ""}, "done": False}


@PATHS
def test_a_stall_is_the_last_line(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    upstream.script(text("a") if path == CHAT else chunk(b'{"response":"a"}\n'), hang(), path=path)
    with stream(gate, path) as answer:
        frames = read_frames(answer)
    assert frames[-1] == {"error": "Ollama sent nothing for 0.3 s in the middle of its answer"}


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_the_token_is_wanted_in_ollamas_form(gate: Gateway, upstream: ScriptedOllama, method: str, path: str) -> None:
    for headers in (NDJSON, {**NDJSON, "Authorization": "Bearer wrong"}):
        reply = client.call(method, gate.base_url, path, {"model": MODEL}, headers)
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"] == 'Bearer realm="clawgate"'
        assert words(reply).startswith("Authorization: expected `Bearer`")
    assert upstream.asked == []


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_foreign_host_and_a_foreign_site_are_refused_in_ollamas_form(
    gate: Gateway, upstream: ScriptedOllama, method: str, path: str
) -> None:
    reply = client.call(method, gate.base_url, path, {"model": MODEL}, {**RIGHT, "Host": "evil.example"})
    assert (reply.status, words(reply).partition(":")[0]) == (400, "Host")
    reply = client.call(method, gate.base_url, path, {"model": MODEL}, {**RIGHT, "Sec-Fetch-Site": "cross-site"})
    assert (reply.status, words(reply).partition(":")[0]) == (403, "Origin")
    assert upstream.asked == []


@pytest.mark.parametrize("path", WITH_A_BODY)
def test_a_body_that_is_wrong_is_refused_in_ollamas_form(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    assert words(gate.post(path, b"", RIGHT)) == "missing request body"
    assert words(gate.post(path, b"{", RIGHT)).startswith("body: expected JSON in UTF-8")
    assert words(gate.post(path, [1], RIGHT)) == "body: expected a JSON object"
    assert words(gate.post(path, {"model": 5}, RIGHT)) == "model: expected a text, got int"
    reply = gate.post(path, {"model": MODEL}, {**RIGHT, "Content-Type": "application/x-www-form-urlencoded"})
    assert (reply.status, words(reply)) == (415, "Content-Type: expected application/json")
    reply = gate.post(path, {"model": "a" * (1 << 17)}, RIGHT)
    assert reply.status == 413
    assert words(reply).startswith("body: expected at most")
    assert upstream.asked == []


@pytest.mark.parametrize("path", WITH_A_BODY)
def test_a_model_that_is_not_allowed_is_refused(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    """An allowed one that Ollama does not have is its 404."""
    upstream.models.append("secret:7b")
    reply = gate.post(path, {"model": "secret:7b", "MODEL": MODEL}, RIGHT)
    assert (reply.status, words(reply)) == (403, f'model: expected one of {MODEL}, not-pulled, got "secret:7b"')
    assert upstream.asked == []
    reply = gate.post(path, {"model": "not-pulled", "MODEL": "secret:7b"}, RIGHT)
    assert (reply.status, words(reply)) == (404, "model 'not-pulled' not found")


def test_our_own_clients_get_our_own_form(gate: Gateway, upstream: ScriptedOllama) -> None:
    del upstream
    for headers in ({}, {"Accept": "text/event-stream"}):
        assert gate.post(CHAT, body_of(CHAT), headers).json["error"]["code"] == "unauthorized"


def test_ollamas_client_has_the_token_from_its_own_variable(
    gate: Gateway, upstream: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    del upstream
    monkeypatch.setenv("OLLAMA_API_KEY", TOKEN)
    with ollama.Client(gate.base_url) as right:
        assert right.chat(MODEL, [{"role": "user", "content": "hi"}]).message.content == "Hello."
    monkeypatch.delenv("OLLAMA_API_KEY")
    with ollama.Client(gate.base_url) as wrong, pytest.raises(ollama.ResponseError, match="Authorization") as caught:
        wrong.list()
    assert caught.value.status_code == 401
