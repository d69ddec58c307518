"""OpenAI's routes without a server of their own: refusals of the checks, models, embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest
from werkzeug.test import TestResponse

from clawgate import create_app
from clawgate.config import Config, ModelConfig, ServerConfig, StreamConfig
from clawgate.web.openai.answers import EmbeddingList, ListedModel, ModelList
from clawgate.web.openai.errors import OpenAIFailed
from tests.http.openai_chunks import HI, PATH, body_of
from tests.support.ollama import ScriptedOllama, status

TOKEN = "0123456789-secret"
OPENAI = {"Authorization": f"Bearer {TOKEN}"}


def asked(
    path: str, body: Any = None, *, ollama: ScriptedOllama | None = None, method: str = "", **options: Any
) -> TestResponse:
    """Ask a gateway that wants a token, with the token; options are those of Flask's client."""
    endpoint = ollama.base_url if ollama else "http://127.0.0.1:9"
    model = ModelConfig(endpoint=endpoint, allowed_models=("embed:1b", "who/own", "absent:1b"))
    config = Config(model=model, server=ServerConfig(auth_token=TOKEN), stream=StreamConfig(retry_seconds=0))
    sent = {} if body is None else {"json": body}
    headers = {**OPENAI, **options.pop("headers", {})}
    client = create_app(config).test_client()
    return client.open(path, method=method or ("GET" if body is None else "POST"), headers=headers, **sent, **options)


def refusal(response: TestResponse) -> tuple[int, str, str | None, str]:
    """Return the status, the type, the field and the code."""
    assert response.mimetype == "application/json"
    error = msgspec.json.decode(response.data, type=OpenAIFailed).error
    return response.status_code, error.type, error.param, error.code


@pytest.mark.parametrize("path", [PATH, "/v1/models", "/v1/models/qwen3:32b", "/v1/embeddings", "/v1/nothing", "/v1"])
def test_without_the_token_each_address_is_a_401(path: str) -> None:
    response = asked(path, headers={"Authorization": "Bearer sk-wrong"})
    assert refusal(response) == (401, "authentication_error", None, "unauthorized")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


REFUSED: dict[str, tuple[str, dict[str, Any], tuple[int, str, str | None, str]]] = {
    "no address": ("/v1/nothing", {}, (404, "not_found_error", None, "not_found")),
    "no address alone": ("/v1", {}, (404, "not_found_error", None, "not_found")),
    "no method": (PATH, {"method": "GET"}, (405, "invalid_request_error", None, "method_not_allowed")),
    "no method of a nothing": (
        "/v1/models",
        {"method": "DELETE"},
        (405, "invalid_request_error", None, "method_not_allowed"),
    ),
    "another site": (
        PATH,
        {"body": body_of(), "headers": {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil"}},
        (403, "permission_error", None, "forbidden"),
    ),
    "another host": (
        "/v1/models",
        {"headers": {"Host": "evil.example"}},
        (400, "invalid_request_error", None, "untrusted_host"),
    ),
    "no JSON": (PATH, {"method": "POST", "data": "hi"}, (415, "invalid_request_error", None, "unsupported_media_type")),
    "broken JSON": (
        PATH,
        {"method": "POST", "data": "{", "content_type": "application/json"},
        (400, "invalid_request_error", None, "bad_request"),
    ),
    "too long": (
        PATH,
        {"method": "POST", "data": b" " * (17 << 20), "content_type": "application/json"},
        (413, "invalid_request_error", None, "too_large"),
    ),
    "no messages": (PATH, {"body": {}}, (400, "invalid_request_error", "messages", "bad_request")),
    "another model": (PATH, {"body": body_of(model="gpt-4o")}, (403, "permission_error", "model", "model_not_allowed")),
    "another model to embed": (
        "/v1/embeddings",
        {"body": {"model": "text-embedding-3-small", "input": "a"}},
        (403, "permission_error", "model", "model_not_allowed"),
    ),
    "tokens": ("/v1/embeddings", {"body": {"input": [1]}}, (400, "invalid_request_error", "input[0]", "bad_request")),
    "away": (PATH, {"body": body_of()}, (502, "server_error", None, "upstream_unreachable")),
    "away, streamed": (PATH, {"body": body_of(stream=True)}, (502, "server_error", None, "upstream_unreachable")),
    "away, models": ("/v1/models", {}, (502, "server_error", None, "upstream_unreachable")),
    "away, embeddings": (
        "/v1/embeddings",
        {"body": {"input": "a"}},
        (502, "server_error", None, "upstream_unreachable"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_openais_shape(name: str) -> None:
    path, options, wanted = REFUSED[name]
    response = asked(path, **options)
    assert refusal(response) == wanted
    assert ("x-should-retry" in response.headers) == name.startswith("away")


def test_the_addresses_of_others_keep_their_shape() -> None:
    assert asked("/api/nothing").json["error"].keys() == {"code", "message"}  # type: ignore[index]


def test_the_models_are_those_that_may_be_named_and_that_ollama_has(ollama: ScriptedOllama) -> None:
    ollama.models = ["other:7b", "who/own:latest", "embed:1b", "qwen3:32b"]
    found = msgspec.json.decode(asked("/v1/models", ollama=ollama).data, type=ModelList)
    assert [(model.id, model.owned_by) for model in found.data] == [
        ("qwen3:32b", "library"),
        ("embed:1b", "library"),
        ("who/own:latest", "who"),
    ]
    assert {model.created for model in found.data} == {1735689600}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("qwen3:32b", "qwen3:32b"),
        ("who/own", "who/own:latest"),
        ("who%2Fown%3Alatest", "who/own:latest"),
        ("Qwen3:32B", "qwen3:32b"),
    ],
)
def test_one_model(ollama: ScriptedOllama, name: str, found: str) -> None:
    ollama.models = ["who/own:latest", "qwen3:32b"]
    response = asked(f"/v1/models/{name}", ollama=ollama)
    assert msgspec.json.decode(response.data, type=ListedModel).id == found


@pytest.mark.parametrize("name", ["other:7b", "absent:1b", "x/y/z"])
def test_no_other_model_is_there(ollama: ScriptedOllama, name: str) -> None:
    ollama.models = ["other:7b", "qwen3:32b"]
    response = asked(f"/v1/models/{name}", ollama=ollama)
    assert refusal(response) == (404, "not_found_error", "model", "model_not_found")


@pytest.mark.parametrize(
    "tags",
    [{"models": None}, {}, {"models": []}, {"models": [{"name": "other"}]}],
)
def test_an_ollama_without_models_has_none(ollama: ScriptedOllama, tags: dict[str, Any]) -> None:
    ollama.script(status(200, tags), path="/api/tags")
    assert asked("/v1/models", ollama=ollama).json == {"object": "list", "data": []}


@pytest.mark.parametrize("modified_at", [None, "", "yesterday", "0001-01-01T00:00:00Z"])
def test_a_model_of_no_known_age_is_listed(ollama: ScriptedOllama, modified_at: str | None) -> None:
    ollama.script(status(200, {"models": [{"name": "qwen3:32b", "modified_at": modified_at}]}), path="/api/tags")
    response = asked("/v1/models", ollama=ollama)
    assert response.json["data"][0]["created"] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("answer", "code"),
    [(status(200, b"<html>"), "upstream_error"), (status(500, {"error": "boom"}), "upstream_error")],
)
def test_a_list_that_cannot_be_read_is_ollamas_failure(ollama: ScriptedOllama, answer: Any, code: str) -> None:
    ollama.script(answer, path="/api/tags")
    assert refusal(asked("/v1/models", ollama=ollama)) == (502, "server_error", None, code)


def test_embeddings(ollama: ScriptedOllama) -> None:
    ollama.models = ["embed:1b"]
    body = {"model": "embed:1b", "input": ["a", "春"], "dimensions": 3}
    found = msgspec.json.decode(asked("/v1/embeddings", body, ollama=ollama).data, type=EmbeddingList)
    assert (found.data[0].embedding, found.model, found.usage.total_tokens) == ([0.1, 0.2, 0.3], "embed:1b", 1)
    assert ollama.next_request(path="/api/embed").json == body


def test_embeddings_as_base64(ollama: ScriptedOllama) -> None:
    response = asked("/v1/embeddings", {"input": "a", "encoding_format": "base64"}, ollama=ollama)
    (only,) = msgspec.json.decode(response.data, type=EmbeddingList).data
    assert isinstance(only.embedding, str)
    assert base64.b64decode(only.embedding) == struct.pack("<3f", 0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (status(404, {"error": "model 'absent:1b' not found"}), (404, "not_found_error", "model", "model_not_found")),
        (
            status(400, {"error": "does not support embeddings"}),
            (400, "invalid_request_error", None, "upstream_refused"),
        ),
        (status(500, {"error": "boom"}), (502, "server_error", None, "upstream_error")),
        (status(200, {"embedding": []}), (502, "server_error", None, "upstream_error")),
    ],
)
def test_embeddings_that_ollama_does_not_make(ollama: ScriptedOllama, answer: Any, wanted: tuple[Any, ...]) -> None:
    ollama.script(answer, path="/api/embed")
    response = asked("/v1/embeddings", {"model": "absent:1b", "input": "a"}, ollama=ollama)
    assert refusal(response) == wanted


def test_under_a_prefix_the_shape_is_the_same() -> None:
    config = Config(server=ServerConfig(path_prefix="/llm"))
    response = create_app(config).test_client().get("/llm/v1/nothing")
    assert refusal(response) == (404, "not_found_error", None, "not_found")


def test_a_test_client_can_stream(ollama: ScriptedOllama) -> None:
    with asked(PATH, body_of(HI, stream=True), ollama=ollama) as response:
        assert response.data.endswith(b"data: [DONE]\n\n")
