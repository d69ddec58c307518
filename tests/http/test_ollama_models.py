"""Ollama's questions about models are passed through, for the models that a request may name; nothing changes them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.http.asking import assert_closed, configured
from tests.support import client
from tests.support.gateway import Gateway
from tests.support.ndjson import NDJSON, frames_in, read_frames, text_in
from tests.support.ollama import ScriptedOllama, drop, hang, raw, status, wait
from tests.support.ollama_routes import VERSION
from tests.support.tools import wait_for

pytestmark = configured(
    model={"allowed_models": ["embedder"]},
    server={"max_streams": 3},
    stream={"smoothing_ms": 0, "first_frame_seconds": 5},
)

MODEL = "qwen3:32b"
CLI = {"Accept": "application/json", "User-Agent": "ollama/0.24.0 (amd64 linux) Go/go1.24"}
CLI_STREAM = {**CLI, **NDJSON}


def test_the_lists_have_only_what_a_request_may_name(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.models += ["secret:7b", "embedder:latest", "qwen3:8b"]
    upstream.loaded += ["secret:7b", MODEL]
    listed, running = gate.get("/api/tags").json, gate.get("/api/ps").json
    assert [each["name"] for each in listed["models"]] == [MODEL, "embedder:latest"]
    assert [each["name"] for each in running["models"]] == [MODEL]
    assert listed["models"][0]["details"]["quantization_level"] == "Q4_K_M", "each as it came"


def test_a_list_that_ollama_refuses_is_its_refusal(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(status(500, {"error": "model list cache unavailable"}), path="/api/tags")
    reply = gate.get("/api/tags")
    assert (reply.status, reply.json) == (500, {"error": "model list cache unavailable"})


def test_a_list_that_is_none_is_an_error(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(status(200, {"models": "none"}), path="/api/tags")
    reply = gate.get("/api/tags")
    assert (reply.status, reply.json) == (502, {"error": "Ollama's list of models cannot be read"})


def test_the_version_is_ollamas(gate: Gateway, upstream: ScriptedOllama) -> None:
    assert gate.get("/api/version").json == {"version": VERSION}
    assert client.call("HEAD", gate.base_url, "/api/version").status == 200
    upstream.stop()
    for path in ("/api/version", "/api/tags"):
        reply = gate.get(path)
        assert (reply.status, [*reply.json]) == (502, ["error"])
    upstream.start()


@pytest.mark.parametrize("name", ["model", "name"])
def test_a_model_is_described(gate: Gateway, upstream: ScriptedOllama, name: str) -> None:
    reply = gate.post("/api/show", {name: MODEL, "verbose": True})
    assert reply.json["capabilities"] == ["completion", "tools", "thinking"]
    assert upstream.requests[-1].json == {"model": MODEL, "verbose": True}


def test_embeddings_are_ollamas(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.models.append("embedder")
    body = {"model": "embedder", "input": ["a", "春"], "truncate": False, "options": {"num_ctx": 512}}
    assert gate.post("/api/embed", body).json["embeddings"] == [[0.1, 0.2, 0.3]]
    assert upstream.requests[-1].json == body
    assert gate.post("/api/embeddings", {"model": "embedder", "prompt": "a"}).json == {"embedding": [0.1, 0.2, 0.3]}


def test_an_embedding_is_waited_for_and_ends_when_its_client_leaves(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang(), path="/api/embed")
    with gate.stream({"model": MODEL, "input": "a"}, path="/api/embed"):
        request = upstream.next_request(path="/api/embed")
        assert gate.streams == 1
    assert_closed(request)
    wait_for(lambda: gate.streams == 0, "its slot is free")


def test_an_embedding_that_is_cut_is_an_error(gate: Gateway, upstream: ScriptedOllama) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\nConnection: close\r\n\r\n"
    upstream.script(raw(head + b'{"embeddings":'), drop(), path="/api/embed")
    reply = gate.post("/api/embed", {"model": MODEL, "input": "a"})
    assert (reply.status, [*reply.json]) == (502, ["error"])


def test_calls_take_their_slots(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    for _ in range(3):
        upstream.script(wait(go), status(200, {"embeddings": []}), path="/api/embed")
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(gate.post, "/api/embed", {"model": MODEL, "input": "a"}) for _ in range(3)]
        for _ in calls:
            upstream.next_request(path="/api/embed")
        for reply in (gate.get("/api/tags"), gate.post("/api/embed", {"model": MODEL})):
            assert (reply.status, [*reply.json], reply.headers["Retry-After"]) == (503, ["error"], "1")
        go.set()
        assert [call.result().status for call in calls] == [200, 200, 200]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2"),
    ],
)
def test_what_changes_the_models_is_refused(gate: Gateway, upstream: ScriptedOllama, method: str, path: str) -> None:
    reply = client.call(method, gate.base_url, path, {"model": MODEL})
    said = "this gateway neither brings nor changes nor removes models; do that where Ollama runs"
    assert (reply.status, reply.json) == (403, {"error": said})
    assert upstream.asked == []


def test_what_ollamas_command_line_asks(gate: Gateway, upstream: ScriptedOllama) -> None:
    """`ollama list`, `ps`, `run MODEL words`, `stop`, and `run` of a model that is not there.

    Source: Ollama cmd/cmd.go, RunHandler, StopHandler, generate; api/client.go.
    """
    for _ in range(2):  # each command begins with it
        assert client.call("HEAD", gate.base_url, "/", headers=CLI).status == 200
    assert [each["name"] for each in gate.get("/api/tags", CLI).json["models"]] == [MODEL]
    assert gate.post("/api/show", {"model": MODEL, "system": "", "template": "", "options": None}, CLI).status == 200
    asked = {"model": MODEL, "prompt": "hi", "suffix": "", "system": "", "template": "", "options": {}}
    with gate.stream(asked, path="/api/generate", headers=CLI_STREAM) as stream:
        frames = read_frames(stream)
    assert (text_in(frames), frames[-1]["done_reason"]) == ("ok", "stop")
    assert [each["name"] for each in gate.get("/api/ps", CLI).json["models"]] == []
    load = {"model": MODEL, "prompt": "", "suffix": "", "system": "", "template": "", "options": None}
    with gate.stream(load, path="/api/generate", headers=CLI_STREAM) as stream:
        assert [frame["done_reason"] for frame in read_frames(stream)] == ["load"]
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "options": {}}
    with gate.stream(chat, headers=CLI_STREAM) as stream:
        assert text_in(read_frames(stream)) == "Hello."
    assert [each["name"] for each in gate.get("/api/ps", CLI).json["models"]] == [MODEL]
    with gate.stream({**load, "keep_alive": "0s"}, path="/api/generate", headers=CLI_STREAM) as stream:
        assert [frame["done_reason"] for frame in read_frames(stream)] == ["unload"]
    missing = gate.post("/api/show", {"model": "embedder"}, CLI)
    assert (missing.status, missing.json) == (404, {"error": "model 'embedder' not found"})
    with gate.stream({"model": "embedder", "name": ""}, path="/api/pull", headers=CLI_STREAM) as stream:
        assert stream.status == 403
        assert "where Ollama runs" in frames_in(stream.read_body() + b"\n")[0]["error"]
    assert "/api/pull" not in {request.path for request in upstream.requests}
