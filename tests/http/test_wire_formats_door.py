"""The checks before every wire format's routes refuse in that format's own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawgate import create_app
from clawgate.config import Config, ModelConfig, ServerConfig
from clawgate.relay.passage import LONG_BYTES, MAX_LONG
from tests.http.asking import routes_of
from tests.http.formats import FORMATS, Format, anthropics, every, openais
from tests.support.ollama import ScriptedOllama, status

TOKEN = "a-token-of-the-test"


def test_every_address_that_asks_a_model_is_tried_here() -> None:
    asking = {rule.rule for method, rule in routes_of(create_app()) if method == "POST"}
    others = {"/api/interrupt", "/render", "/api/show", "/api/embed", "/api/embeddings", "/v1/embeddings"}
    refused = {"/api/pull", "/api/push", "/api/create", "/api/copy", "/api/blobs/<digest>"}
    asking = {path.removeprefix("/ollama") for path in asking} | {"/ollama/api/chat"}
    assert asking - others - refused == {wire.path for wire in FORMATS.values()}


CLOSED = create_app(Config(server=ServerConfig(auth_token=TOKEN, trusted_hosts=("localhost",))))


@every
def test_the_token_and_the_host_are_wanted_in_its_own_words(wire: Format) -> None:
    client = CLOSED.test_client()
    refused = client.post(wire.path, json={"model": "m", **wire.body}, headers=wire.headers)
    assert (refused.status_code, "server.auth_token" in wire.words(refused.get_json())) == (401, True)
    right = {**wire.headers, "Authorization": f"Bearer {TOKEN}"}
    refused = client.post(wire.path, json=wire.body, headers={**right, "Host": "evil.example"})
    assert (refused.status_code, "Host" in wire.words(refused.get_json())) == (400, True)
    refused = client.post(wire.path, json=wire.body, headers={**right, "Sec-Fetch-Site": "cross-site"})
    assert (refused.status_code, "Origin" in wire.words(refused.get_json())) == (403, True)


def test_the_key_of_anthropics_client_is_the_token_for_its_api_alone() -> None:
    client = CLOSED.test_client()
    for path, code in {"/v1/messages": 400, "/v1/chat/completions": 401, "/api/chat": 401}.items():
        assert client.post(path, json={}, headers={"x-api-key": TOKEN}).status_code == code
    assert client.post("/v1/messages", json={}, headers={"x-api-key": "wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("path", "words"), [("/v1/nothing", openais), ("/v1/", openais), ("/v1/messages/nothing", anthropics)]
)
def test_an_address_without_a_route_is_refused_in_the_words_of_its_clients(
    path: str, words: Callable[[Any], str]
) -> None:
    client = CLOSED.test_client()
    refused = client.post(path, json={}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (refused.status_code, "nothing at this address" in words(refused.get_json())) == (404, True)
    assert client.post(path, json={}).status_code == 401
    assert client.delete("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405


def test_the_place_of_a_long_document_is_free_once_its_client_has_it(ollama: ScriptedOllama) -> None:
    client = create_app(Config(model=ModelConfig(endpoint=ollama.base_url))).test_client()
    rows = b'{"embeddings":[[%b1]]}' % (b"1," * (LONG_BYTES // 2 + 10))
    for path, document, code in [("/api/embed", rows, 200), ("/v1/embeddings", rows[:-1], 502)] * MAX_LONG:
        ollama.script(status(200, document), path="/api/embed")
        reply = client.post(path, json={"model": "qwen3:32b", "input": "a"})
        assert reply.status_code == code, reply.text[:99]
        reply.close()
